/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/uses.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DEPTH_MAX 8 /* devices made of devices */

struct device {
    unsigned major, minor;
};

static bool same(const struct device *a, const struct device *b)
{
    return a->major == b->major && a->minor == b->minor;
}

static bool read_line(const char *path, char *ret_line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool good;

    if (!file) {
        return false;
    }
    good = fgets(ret_line, (int)size, file) != NULL;
    fclose(file);
    return good;
}

static bool read_device(const char *path, struct device *ret_device)
{
    char line[64];

    return read_line(path, line, sizeof(line)) &&
           sscanf(line, "%u:%u", &ret_device->major, &ret_device->minor) == 2;
}

/* Is `device` that one, or made of it? */
static bool rests_on(const struct device *device, const struct device *wanted,
                     const char *sys, unsigned depth)
{
    char path[PATH_MAX];
    struct device below;
    struct dirent *entry;
    bool found = false;
    DIR *folder;

    if (same(device, wanted)) {
        return true;
    }
    if (depth == DEPTH_MAX) {
        return false;
    }
    /* a partition is a folder of its disk */
    snprintf(path, sizeof(path), "%s/dev/block/%u:%u/partition", sys,
             device->major, device->minor);
    if (access(path, F_OK) == 0) {
        snprintf(path, sizeof(path), "%s/dev/block/%u:%u/../dev", sys,
                 device->major, device->minor);
        return read_device(path, &below) &&
               rests_on(&below, wanted, sys, depth + 1);
    }
    snprintf(path, sizeof(path), "%s/dev/block/%u:%u/slaves", sys,
             device->major, device->minor);
    folder = opendir(path);
    while (folder && !found && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof(path), "%s/dev/block/%u:%u/slaves/%s/dev", sys,
                 device->major, device->minor, entry->d_name);
        found = read_device(path, &below) &&
                rests_on(&below, wanted, sys, depth + 1);
    }
    if (folder) {
        closedir(folder);
    }
    return found;
}

bool kmr_uses_block(pid_t pid, unsigned major, unsigned minor, const char *sys)
{
    struct device wanted = { major, minor };
    char path[PATH_MAX];
    struct dirent *entry;
    bool found = false;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    folder = opendir(path);
    while (folder && !found && (entry = readdir(folder))) {
        struct statx status;
        struct device device;

        snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int)pid, entry->d_name);
        /* what is known already: a server that is away is not asked */
        if (entry->d_name[0] == '.' ||
            statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &status)) {
            continue;
        }
        if (S_ISBLK(status.stx_mode)) {
            device.major = status.stx_rdev_major;
            device.minor = status.stx_rdev_minor;
        } else if (S_ISREG(status.stx_mode)) {
            device.major = status.stx_dev_major;
            device.minor = status.stx_dev_minor;
        } else {
            continue;
        }
        found = rests_on(&device, &wanted, sys ? sys : "/sys", 0);
    }
    if (folder) {
        closedir(folder);
    }
    return found;
}

/* Is `name` below `upper`: a port of a bridge or bond, what a VLAN is on? */
static bool is_below(const char *upper, const char *name, const char *sys,
                     unsigned depth)
{
    char path[PATH_MAX];
    struct dirent *entry;
    bool found = false;
    DIR *folder;

    if (depth == DEPTH_MAX) {
        return false;
    }
    snprintf(path, sizeof(path), "%s/class/net/%s", sys, upper);
    folder = opendir(path);
    while (folder && !found && (entry = readdir(folder))) {
        const char *lower = entry->d_name + strlen("lower_");

        if (strncmp(entry->d_name, "lower_", strlen("lower_")) == 0) {
            found = strcmp(lower, name) == 0 ||
                    is_below(lower, name, sys, depth + 1);
        }
    }
    if (folder) {
        closedir(folder);
    }
    return found;
}

static bool tap_uses(const char *tap, const char *name, const char *sys)
{
    char path[PATH_MAX], master[PATH_MAX];
    const char *upper;
    ssize_t len;

    if (strcmp(tap, name) == 0) {
        return true;
    }
    snprintf(path, sizeof(path), "%s/class/net/%s/master", sys, tap);
    len = readlink(path, master, sizeof(master) - 1);
    if (len <= 0) {
        return false;
    }
    master[len] = '\0';
    upper = strrchr(master, '/');
    upper = upper ? upper + 1 : master;
    return strcmp(upper, name) == 0 || is_below(upper, name, sys, 0);
}

bool kmr_uses_link(pid_t pid, const char *name, const char *sys)
{
    char path[PATH_MAX], line[256], tap[64];
    struct dirent *entry;
    bool found = false;
    DIR *folder;

    snprintf(path, sizeof(path), "/proc/%d/fdinfo", (int)pid);
    folder = opendir(path);
    while (folder && !found && (entry = readdir(folder))) {
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", (int)pid,
                 entry->d_name);
        file = entry->d_name[0] == '.' ? NULL : fopen(path, "re");
        while (file && !found && fgets(line, sizeof(line), file)) {
            found = sscanf(line, "iff: %63s", tap) == 1 &&
                    tap_uses(tap, name, sys ? sys : "/sys");
        }
        if (file) {
            fclose(file);
        }
    }
    if (folder) {
        closedir(folder);
    }
    return found;
}
