/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/text.h"

#include <string.h>

void kmr_text_set(char *buf, size_t size, const char *text)
{
    buf[0] = '\0';
    kmr_text_add(buf, size, text);
}

void kmr_text_add(char *buf, size_t size, const char *text)
{
    size_t used = strlen(buf);
    size_t len = strlen(text);

    if (used + 1 >= size) {
        return;
    }
    if (len > size - used - 1) {
        len = size - used - 1;
    }
    memmove(buf + used, text, len);
    buf[used + len] = '\0';
}

void kmr_text_add_u64(char *buf, size_t size, uint64_t number)
{
    char digits[21];
    size_t at = sizeof(digits) - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    kmr_text_add(buf, size, digits + at);
}

bool kmr_text_same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
           (c >= 'A' && c <= 'F');
}

bool kmr_text_is_uuid(const char *text)
{
    for (unsigned i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text[i] != '-' : !is_hex(text[i])) {
            return false;
        }
    }
    return text[36] == '\0';
}

bool kmr_text_is_name(const char *text)
{
    if (text[0] == '\0' || text[0] == '.' || text[0] == '-') {
        return false;
    }
    for (; *text; text++) {
        char c = *text;

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return true;
}
