/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "io/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <qb/qblog.h>

struct item {
    struct item *next;
    char *name;
    char *text; /* NULL: remove */
    uint64_t ticket;
    int err;
};

struct kmr_statefile {
    char *folder;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct item *first;
    struct item *done; /* the newest first */
    uint64_t tickets;
    bool end;
    qb_loop_t *loop;
    kmr_statefile_cb cb;
    void *user;
    int event_fd; /* `done` has something */
};

static int write_all(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t done = write(fd, text, left);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return -errno;
        }
        text += done;
        left -= (size_t)done;
    }
    return fsync(fd) == 0 ? 0 : -errno;
}

static int replace(int folder, const char *name, const char *text)
{
    char temporary[300];
    int fd, err;

    snprintf(temporary, sizeof(temporary), ".%s.new", name);
    fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
                0644);
    if (fd < 0) {
        return -errno;
    }
    err = write_all(fd, text);
    close(fd);
    if (!err && renameat(folder, temporary, folder, name) != 0) {
        err = -errno;
    }
    if (!err && fsync(folder) != 0) {
        err = -errno;
    }
    return err;
}

static void write_item(struct kmr_statefile *files, struct item *item)
{
    int folder = open(files->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = folder < 0 ? -errno : 0;

    if (!err && item->text) {
        err = replace(folder, item->name, item->text);
    } else if (!err && unlinkat(folder, item->name, 0) != 0 &&
               errno != ENOENT) {
        err = -errno;
    }
    if (err) {
        qb_log(LOG_ERR, "%s/%s: %s", files->folder, item->name, strerror(-err));
    }
    item->err = err;
    if (folder >= 0) {
        close(folder);
    }
}

static void free_item(struct item *item)
{
    free(item->name);
    free(item->text);
    free(item);
}

static void *run(void *arg)
{
    struct kmr_statefile *files = arg;

    pthread_mutex_lock(&files->lock);
    for (;;) {
        struct item *item = files->first;

        if (!item) {
            if (files->end) {
                break;
            }
            pthread_cond_wait(&files->wake, &files->lock);
            continue;
        }
        files->first = item->next;
        pthread_mutex_unlock(&files->lock);
        write_item(files, item);
        pthread_mutex_lock(&files->lock);
        item->next = files->done;
        files->done = item;
        eventfd_write(files->event_fd, 1);
    }
    pthread_mutex_unlock(&files->lock);
    return NULL;
}

static int32_t on_done(int32_t fd, int32_t revents, void *data)
{
    struct kmr_statefile *files = data;
    struct item *done, *oldest = NULL;
    eventfd_t value;

    (void)revents;
    eventfd_read(fd, &value);
    pthread_mutex_lock(&files->lock);
    done = files->done;
    files->done = NULL;
    pthread_mutex_unlock(&files->lock);
    while (done) {
        struct item *item = done;

        done = item->next;
        item->next = oldest;
        oldest = item;
    }
    while (oldest) {
        struct item *item = oldest;

        oldest = item->next;
        if (files->cb) {
            files->cb(item->name, item->ticket, item->err, files->user);
        }
        free_item(item);
    }
    return 0;
}

static void free_files(struct kmr_statefile *files)
{
    if (files->event_fd >= 0) {
        qb_loop_poll_del(files->loop, files->event_fd);
        close(files->event_fd);
    }
    while (files->done) {
        struct item *item = files->done;

        files->done = item->next;
        free_item(item);
    }
    free(files->folder);
    free(files);
}

int kmr_statefile_new(const char *folder, qb_loop_t *loop, kmr_statefile_cb cb,
                      void *user, struct kmr_statefile **ret_files)
{
    struct kmr_statefile *files = calloc(1, sizeof(*files));
    int err;

    if (!files) {
        return -ENOMEM;
    }
    files->loop = loop;
    files->cb = cb;
    files->user = user;
    files->folder = strdup(folder);
    files->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&files->lock, NULL);
    pthread_cond_init(&files->wake, NULL);
    err = files->event_fd < 0 ? errno : files->folder ? 0 : ENOMEM;
    if (!err) {
        err = -qb_loop_poll_add(loop, QB_LOOP_HIGH, files->event_fd, POLLIN,
                                files, on_done);
    }
    if (!err) {
        err = pthread_create(&files->thread, NULL, run, files);
    }
    if (err) {
        free_files(files);
        return -err;
    }
    *ret_files = files;
    return 0;
}

void kmr_statefile_free(struct kmr_statefile *files)
{
    if (!files) {
        return;
    }
    pthread_mutex_lock(&files->lock);
    files->end = true;
    pthread_cond_signal(&files->wake);
    pthread_mutex_unlock(&files->lock);
    pthread_join(files->thread, NULL);
    free_files(files);
}

int kmr_statefile_write(struct kmr_statefile *files, const char *name,
                        const char *text, uint64_t *ret_ticket)
{
    struct item *item = calloc(1, sizeof(*item));
    struct item **at;

    if (!item) {
        return -ENOMEM;
    }
    item->name = strdup(name);
    item->text = text ? strdup(text) : NULL;
    if (!item->name || (text && !item->text) ||
        (text && strlen(text) > KMR_STATEFILE_MAX)) {
        free_item(item);
        return -E2BIG;
    }
    pthread_mutex_lock(&files->lock);
    item->ticket = ++files->tickets;
    if (ret_ticket) {
        *ret_ticket = item->ticket;
    }
    for (at = &files->first; *at; at = &(*at)->next) {
        if (strcmp((*at)->name, name) == 0) {
            break;
        }
    }
    if (*at) {
        struct item *old = *at;

        item->next = old->next;
        free_item(old);
    }
    *at = item;
    pthread_cond_signal(&files->wake);
    pthread_mutex_unlock(&files->lock);
    return 0;
}

int kmr_statefile_read(const char *folder, const char *name, char **ret_text)
{
    char path[4096];
    char *text;
    FILE *file;
    size_t len;

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >=
        (int)sizeof(path)) {
        return -ENAMETOOLONG;
    }
    file = fopen(path, "re");
    if (!file) {
        return -errno;
    }
    text = calloc(1, KMR_STATEFILE_MAX + 2);
    if (!text) {
        fclose(file);
        return -ENOMEM;
    }
    len = fread(text, 1, KMR_STATEFILE_MAX + 1, file);
    fclose(file);
    if (len > KMR_STATEFILE_MAX || strlen(text) != len) {
        free(text);
        return -EBADMSG;
    }
    *ret_text = text;
    return 0;
}

bool kmr_statefile_get(const char *text, const char *key, char *ret_value,
                       size_t size)
{
    size_t key_len = strlen(key);

    while (*text) {
        const char *end = strchrnul(text, '\n');

        if (strncmp(text, key, key_len) == 0 && text[key_len] == '=') {
            size_t len = (size_t)(end - text) - key_len - 1;

            if (len >= size) {
                return false;
            }
            memcpy(ret_value, text + key_len + 1, len);
            ret_value[len] = '\0';
            return true;
        }
        text = *end ? end + 1 : end;
    }
    return false;
}
