/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/source_edac.h"
#include "mce-monitor/now.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <qb/qbdefs.h>

struct dimm {
    unsigned mc;
    char name[32]; /* "dimm3" */
    char label[KMR_HW_TEXT_MAX];
    uint64_t counts[2]; /* corrected, uncorrected: mc_event's types */
};

struct kmr_edac {
    qb_loop_t *loop;
    void (*cb)(const struct kmr_hw_record *record, void *user);
    void *user;
    char root[256];
    struct dimm dimms[KMR_EDAC_DIMMS_MAX];
    unsigned count;
    qb_loop_timer_handle timer;
};

static bool read_line(const char *folder, const char *file, char *ret_line,
                      size_t size)
{
    char path[1024];
    ssize_t got;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    got = read(fd, ret_line, size - 1);
    close(fd);
    ret_line[got > 0 ? got : 0] = '\0';
    ret_line[strcspn(ret_line, "\n")] = '\0';
    return got > 0;
}

static void tell(struct kmr_edac *edac, const struct dimm *dimm, unsigned type,
                 uint64_t errors)
{
    struct kmr_hw_record record;

    memset(&record, 0, sizeof(record));
    record.event = KMR_HW_MC;
    record.time_us = kmr_now_us();
    record.have = 1u << KMR_HW_ERROR_TYPE_AT | 1u << KMR_HW_ERROR_COUNT_AT |
                  1u << KMR_HW_MC_INDEX_AT | 1u << KMR_HW_TOP_LAYER_AT;
    record.number[KMR_HW_ERROR_TYPE_AT] = type;
    record.number[KMR_HW_ERROR_COUNT_AT] = errors < 65535 ? errors : 65535;
    record.number[KMR_HW_MC_INDEX_AT] = dimm->mc;
    record.number[KMR_HW_TOP_LAYER_AT] =
        strtoull(dimm->name + strcspn(dimm->name, "0123456789"), NULL, 10);
    memcpy(record.text, dimm->label, sizeof(record.text));
    edac->cb(&record, edac->user);
}

static void look_dimm(struct kmr_edac *edac, unsigned mc, const char *folder,
                      const char *name)
{
    static const char *const files[] = { "dimm_ce_count", "dimm_ue_count" };
    struct dimm *dimm = NULL;
    bool is_new = false;
    char line[128];

    for (unsigned i = 0; i < edac->count; i++) {
        if (edac->dimms[i].mc == mc && strcmp(edac->dimms[i].name, name) == 0) {
            dimm = &edac->dimms[i];
        }
    }
    if (!dimm) {
        if (edac->count == KMR_EDAC_DIMMS_MAX) {
            return;
        }
        dimm = &edac->dimms[edac->count++];
        memset(dimm, 0, sizeof(*dimm));
        dimm->mc = mc;
        snprintf(dimm->name, sizeof(dimm->name), "%.31s", name);
        is_new = true;
    }
    if (read_line(folder, "dimm_label", line, sizeof(line))) {
        snprintf(dimm->label, sizeof(dimm->label), "%.63s", line);
        for (char *at = dimm->label; *at; at++) {
            *at = isgraph((unsigned char)*at) ? *at : '_';
        }
    }
    for (unsigned type = 0; type < 2; type++) {
        uint64_t count, before = dimm->counts[type];

        if (!read_line(folder, files[type], line, sizeof(line))) {
            continue;
        }
        count = strtoull(line, NULL, 10);
        dimm->counts[type] = count;
        /* What there was before us is old; a smaller one was set to 0, and
         * has counted since. */
        if (!is_new && count != before && count > 0) {
            tell(edac, dimm, type, count > before ? count - before : count);
        }
    }
}

static void look_mc(struct kmr_edac *edac, const char *name)
{
    char folder[512], path[800];
    unsigned mc = (unsigned)strtoul(name + 2, NULL, 10);
    struct dirent *entry;
    DIR *dir;

    snprintf(folder, sizeof(folder), "%s/%s", edac->root, name);
    dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "dimm", 4) == 0 ||
            strncmp(entry->d_name, "rank", 4) == 0) {
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            look_dimm(edac, mc, path, entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

unsigned kmr_edac_look(struct kmr_edac *edac)
{
    DIR *dir = opendir(edac->root);
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "mc", 2) == 0 &&
            isdigit((unsigned char)entry->d_name[2])) {
            look_mc(edac, entry->d_name);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return edac->count;
}

static void on_timer(void *data)
{
    struct kmr_edac *edac = data;

    kmr_edac_look(edac);
    qb_loop_timer_add(edac->loop, QB_LOOP_LOW,
                      KMR_EDAC_EVERY_MS * QB_TIME_NS_IN_MSEC, edac, on_timer,
                      &edac->timer);
}

int kmr_edac_start(qb_loop_t *loop, const char *root,
                   void (*cb)(const struct kmr_hw_record *record, void *user),
                   void *user, struct kmr_edac **ret_edac)
{
    struct kmr_edac *edac = calloc(1, sizeof(*edac));

    if (!edac) {
        return -ENOMEM;
    }
    edac->loop = loop;
    edac->cb = cb;
    edac->user = user;
    snprintf(edac->root, sizeof(edac->root), "%s", root);
    if (kmr_edac_look(edac) == 0) {
        free(edac);
        return -ENOENT;
    }
    on_timer(edac);
    *ret_edac = edac;
    return 0;
}

void kmr_edac_stop(struct kmr_edac *edac)
{
    if (edac) {
        qb_loop_timer_del(edac->loop, edac->timer);
        free(edac);
    }
}
