/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/moves.h"

#include <string.h>

#include "core/text.h"

static void add(char *text, size_t size, const char *key, const char *value)
{
    kmr_text_add(text, size, key);
    kmr_text_add(text, size, "=");
    kmr_text_add(text, size, value);
    kmr_text_add(text, size, "\n");
}

static void add_number(char *text, size_t size, const char *key, uint64_t value)
{
    char digits[24] = "";

    kmr_text_add_u64(digits, sizeof(digits), value);
    add(text, size, key, digits);
}

void kmr_moves_write(const struct kmr_health_vm *entry, uint64_t boot,
                     char *text, size_t size)
{
    text[0] = '\0';
    if (entry->moving_from[0] == '\0' && entry->moved == 0) {
        return;
    }
    add_number(text, size, "boot", boot);
    if (entry->moving_from[0] != '\0') {
        add(text, size, "moving_from", entry->moving_from);
        add_number(text, size, "moving", entry->moving_ms);
    }
    if (entry->came_from[0] != '\0') {
        add(text, size, "came_from", entry->came_from);
    }
    /* the oldest first, as the ring has them */
    for (unsigned i = 0; i < KMR_MOVES_KEPT; i++) {
        uint64_t ms = entry->moved_ms[(entry->moved + i) % KMR_MOVES_KEPT];

        if (ms != 0) {
            add_number(text, size, "moved", ms);
        }
    }
    add(text, size, "end", "");
}

/* 1 to `most`, and nothing else on the line. */
static bool number(const char *text, uint64_t most, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (*text == '\0') {
        return false;
    }
    for (; *text; text++) {
        unsigned digit = (unsigned)(*text - '0');

        if (digit > 9 || number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *ret_number = number;
    return number != 0 && number <= most;
}

static bool name(const char *text, char *ret_name, size_t size)
{
    if (!kmr_text_is_name(text) || strlen(text) >= size) {
        return false;
    }
    kmr_text_set(ret_name, size, text);
    return true;
}

/* The value of LINE, if its key is KEY. */
static const char *value_of(const char *line, const char *key)
{
    size_t len = strlen(key);

    return strncmp(line, key, len) == 0 && line[len] == '=' ? line + len + 1
                                                            : NULL;
}

/* LINE without its end; the next one, or NULL: there is no whole line. */
static const char *take_line(const char *text, char *line, size_t size)
{
    const char *end = strchr(text, '\n');

    if (!end || (size_t)(end - text) >= size) {
        return NULL;
    }
    memcpy(line, text, (size_t)(end - text));
    line[end - text] = '\0';
    return end + 1;
}

static bool take(struct kmr_health_vm *found, const char *line, uint64_t now_ms)
{
    const char *value;
    uint64_t ms;

    if ((value = value_of(line, "moving_from"))) {
        return name(value, found->moving_from, sizeof(found->moving_from));
    }
    if ((value = value_of(line, "came_from"))) {
        return name(value, found->came_from, sizeof(found->came_from));
    }
    if ((value = value_of(line, "moving"))) {
        return number(value, now_ms, &found->moving_ms);
    }
    if (!(value = value_of(line, "moved")) || !number(value, now_ms, &ms) ||
        found->moved == KMR_MOVES_KEPT) {
        return false;
    }
    found->moved_ms[found->moved++] =
        now_ms < ms + KMR_HEALTH_WINDOW_MS ? ms : 0;
    return true;
}

const char *kmr_moves_read(struct kmr_health *health, const char *vm,
                           uint64_t boot, const char *text, uint64_t now_ms)
{
    struct kmr_health_vm found = { .moved = 0 };
    struct kmr_health_vm *entry;
    char line[KMR_NODE_MAX + 32];
    const char *value;
    uint64_t its_boot;

    if (!kmr_text_is_name(vm) || strlen(vm) >= sizeof(found.vm)) {
        return "no VM has such a name";
    }
    text = take_line(text, line, sizeof(line));
    value = text ? value_of(line, "boot") : NULL;
    if (!value || !number(value, UINT64_MAX, &its_boot)) {
        return "damaged";
    }
    if (its_boot != boot) {
        return "of another boot";
    }
    for (;;) {
        text = take_line(text, line, sizeof(line));
        if (!text) {
            return "damaged";
        }
        if (kmr_text_same(line, "end=")) {
            break;
        }
        if (!take(&found, line, now_ms)) {
            return "damaged";
        }
    }
    if (text[0] != '\0' ||
        (found.moving_from[0] != '\0') != (found.moving_ms != 0)) {
        return "damaged";
    }
    entry = kmr_health_vm(health, vm);
    if (!entry) {
        return "too many VMs";
    }
    memcpy(entry->moving_from, found.moving_from, sizeof(found.moving_from));
    memcpy(entry->came_from, found.came_from, sizeof(found.came_from));
    memcpy(entry->moved_ms, found.moved_ms, sizeof(found.moved_ms));
    entry->moving_ms = found.moving_ms;
    entry->moved = found.moved;
    return NULL;
}
