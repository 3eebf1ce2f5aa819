/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef KMR_IO_CS_TEXT_H
#define KMR_IO_CS_TEXT_H

/* corosync's error codes in words for an operator (cs_strerror() would need
 * one more library and says CS_ERR_LIBRARY). */

#include <corosync/corotypes.h>

static inline const char *kmr_cs_text(cs_error_t err)
{
    switch (err) {
    case CS_OK:
        return "no error";
    case CS_ERR_LIBRARY:
    case CS_ERR_BAD_HANDLE:
        return "corosync does not run (any more)";
    case CS_ERR_TRY_AGAIN:
        return "corosync is busy or still starting";
    case CS_ERR_ACCESS:
    case CS_ERR_SECURITY:
        return "corosync refuses this user";
    case CS_ERR_NO_MEMORY:
    case CS_ERR_NO_RESOURCES:
        return "no memory or descriptors left";
    case CS_ERR_EXIST:
        return "exists already";
    case CS_ERR_NOT_EXIST:
        return "not configured in corosync.conf";
    case CS_ERR_TIMEOUT:
        return "time-out";
    default:
        return "corosync error";
    }
}

#endif
