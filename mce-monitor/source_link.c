/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mce-monitor/source_link.h"
#include "mce-monitor/now.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <qb/qbdefs.h>
#include <qb/qblog.h>

#define BUFFER 32768
#define TURNS 32 /* datagrams in one turn of the loop */

/* What one message says of an interface. */
struct seen {
    int index;
    unsigned flags;
    bool gone;
    bool has_carrier, carrier;
    char name[IF_NAMESIZE];
    char kind[16], slave[16];
};

struct one {
    int index; /* 0: it is gone, and was told to be down */
    bool watched;
    bool again;    /* by another list, or come back: is it still wanted? */
    bool hardware; /* its end is a loss; so it is of those in the list */
    bool up;       /* administratively */
    bool carrier;
    bool down; /* this was told last */
    char name[IF_NAMESIZE];
};

struct kmr_link {
    qb_loop_t *loop;
    void (*cb)(const struct kmr_hw_record *record, void *user);
    void *user;
    int fd;
    char names[512];       /* " eth0 eth1 " */
    char own[IF_NAMESIZE]; /* of the replication address */
    struct one ones[KMR_LINKS_MAX];
    unsigned count;
};

static void tell(struct kmr_link *link, struct one *one, bool carrier)
{
    struct kmr_hw_record record;

    one->down = !carrier;
    memset(&record, 0, sizeof(record));
    record.event = KMR_HW_LINK;
    record.time_us = kmr_now_us();
    record.have = 1u << KMR_HW_IFINDEX_AT | 1u << KMR_HW_UP_AT;
    record.number[KMR_HW_IFINDEX_AT] = (uint64_t)one->index;
    record.number[KMR_HW_UP_AT] = carrier;
    snprintf(record.text, sizeof(record.text), "%s", one->name);
    link->cb(&record, link->user);
}

static bool listed(const struct kmr_link *link, const char *name)
{
    char word[IF_NAMESIZE + 2];

    snprintf(word, sizeof(word), " %s ", name);
    return strstr(link->names, word) != NULL;
}

static bool of_hardware(const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/sys/class/net/%s/device", name);
    return access(path, F_OK) == 0;
}

static bool wanted(const struct kmr_link *link, const struct seen *seen)
{
    if (link->names[0]) {
        return listed(link, seen->name);
    }
    if ((seen->flags & IFF_LOOPBACK) || strcmp(seen->kind, "tun") == 0) {
        return false;
    }
    return strcmp(seen->slave, "bridge") == 0 ||
           strcmp(seen->name, link->own) == 0 || of_hardware(seen->name);
}

/* Before it goes the kernel takes it down: no carrier was lost by that. */
static void drop(struct kmr_link *link, struct one *one)
{
    bool a_loss = one->hardware || listed(link, one->name);

    if (one->watched && a_loss && one->carrier) {
        tell(link, one, false);
    } else if (one->down && !a_loss) {
        tell(link, one, true); /* nobody has it any more */
    }
    if (one->down) {
        one->index = 0;
        one->up = one->carrier = false;
    } else {
        *one = link->ones[--link->count];
    }
}

/* Known by its number; or gone, and back by its name, which it may have got
 * after its number (udev). */
static struct one *find(struct kmr_link *link, const struct seen *seen)
{
    struct one *one = NULL, *back = NULL;

    for (unsigned i = 0; i < link->count; i++) {
        struct one *at = &link->ones[i];

        if (at->index == seen->index) {
            one = at;
        } else if (at->index == 0 && strcmp(at->name, seen->name) == 0) {
            back = at;
        }
    }
    if (!back || seen->gone) {
        return one;
    }
    back->index = seen->index;
    back->again = true;
    if (!one) {
        return back;
    }
    if (one->down) {
        tell(link, one, true); /* nothing has that name any more */
    }
    *one = *back;
    *back = link->ones[--link->count];
    return one == &link->ones[link->count] ? back : one;
}

static void take(struct kmr_link *link, const struct seen *seen)
{
    struct one *one = find(link, seen);
    bool is_new = false, again = false, up = seen->flags & IFF_UP;
    bool carrier =
        seen->has_carrier ? seen->carrier : (seen->flags & IFF_RUNNING) != 0;

    if (seen->gone) {
        if (one) {
            drop(link, one);
        }
        return;
    }
    if (!one) {
        if (link->count == KMR_LINKS_MAX) {
            return;
        }
        one = &link->ones[link->count++];
        memset(one, 0, sizeof(*one));
        one->index = seen->index;
        is_new = true;
    }
    snprintf(one->name, sizeof(one->name), "%s", seen->name);
    if (one->again) {
        one->again = false;
        again = one->watched;
        one->watched = one->watched && wanted(link, seen);
        if (one->down && !one->watched) {
            tell(link, one, true); /* nobody looks at it any more */
        }
    }
    if (!one->watched && wanted(link, seen)) {
        one->watched = true;
        one->hardware = of_hardware(one->name);
        is_new = true;
    }
    if (!one->watched) {
        return;
    }
    if (!up) {
        /* Taken down by somebody: neither healthy nor ill. */
        if (!is_new && one->up && !one->carrier) {
            tell(link, one, true);
        }
    } else if (is_new || !one->up) {
        /* Seen first, or taken up: it had no carrier to lose. */
        if (!carrier && is_new && listed(link, one->name)) {
            tell(link, one, false);
        } else if (carrier && one->down) {
            tell(link, one, true); /* it was gone, and is back */
        }
    } else if (carrier != one->carrier ||
               (again && !carrier && !one->down && listed(link, one->name))) {
        tell(link, one, carrier);
    }
    /* What it had when it was taken down, should it go next. */
    if (up || is_new) {
        one->carrier = carrier;
    }
    one->up = up;
}

static void take_text(char *to, size_t size, const struct rtattr *attr)
{
    size_t len = RTA_PAYLOAD(attr);

    if (len >= size) {
        len = size - 1;
    }
    memcpy(to, RTA_DATA(attr), len);
    to[len] = '\0';
}

static void take_info(struct seen *seen, struct rtattr *info)
{
    struct rtattr *attr = RTA_DATA(info);
    int len = (int)RTA_PAYLOAD(info);

    for (; RTA_OK(attr, len); attr = RTA_NEXT(attr, len)) {
        if (attr->rta_type == IFLA_INFO_KIND) {
            take_text(seen->kind, sizeof(seen->kind), attr);
        } else if (attr->rta_type == IFLA_INFO_SLAVE_KIND) {
            take_text(seen->slave, sizeof(seen->slave), attr);
        }
    }
}

static void take_message(struct kmr_link *link, const struct nlmsghdr *header)
{
    const struct ifinfomsg *info = NLMSG_DATA(header);
    struct seen seen = { .gone = header->nlmsg_type == RTM_DELLINK };
    struct rtattr *attr;
    int len;

    if ((header->nlmsg_type != RTM_NEWLINK && !seen.gone) ||
        header->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
        info->ifi_family == AF_BRIDGE) {
        return; /* a bridge's own view of its ports, too: that is no link */
    }
    seen.index = info->ifi_index;
    seen.flags = info->ifi_flags;
    attr = IFLA_RTA(info);
    len = (int)(header->nlmsg_len - NLMSG_LENGTH(sizeof(*info)));
    for (; RTA_OK(attr, len); attr = RTA_NEXT(attr, len)) {
        if (attr->rta_type == IFLA_IFNAME) {
            take_text(seen.name, sizeof(seen.name), attr);
        } else if (attr->rta_type == IFLA_CARRIER && RTA_PAYLOAD(attr) >= 1) {
            seen.has_carrier = true;
            seen.carrier = *(const unsigned char *)RTA_DATA(attr) != 0;
        } else if ((attr->rta_type & NLA_TYPE_MASK) == IFLA_LINKINFO) {
            take_info(&seen, attr);
        }
    }
    if (seen.index > 0 && seen.name[0]) {
        take(link, &seen);
    }
}

/* All interfaces: at the start, and when messages were lost. */
static int ask(const struct kmr_link *link)
{
    struct {
        struct nlmsghdr header;
        struct ifinfomsg info;
    } request;

    memset(&request, 0, sizeof(request));
    request.header.nlmsg_len = sizeof(request);
    request.header.nlmsg_type = RTM_GETLINK;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    return send(link->fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

static int32_t on_readable(int32_t fd, int32_t events, void *data)
{
    static _Alignas(struct nlmsghdr) char buf[BUFFER];
    struct kmr_link *link = data;

    (void)events;
    for (int turn = 0; turn < TURNS; turn++) {
        struct sockaddr_nl from = { 0 };
        socklen_t from_len = sizeof(from);
        ssize_t got = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT,
                               (struct sockaddr *)&from, &from_len);
        unsigned len = got > 0 ? (unsigned)got : 0;

        if (got < 0 && errno == ENOBUFS) {
            ask(link); /* what was missed is in the answer */
            continue;
        }
        if (got <= 0) {
            return 0;
        }
        if (from.nl_pid != 0) {
            continue; /* not the kernel */
        }
        for (struct nlmsghdr *header = (void *)buf; NLMSG_OK(header, len);
             header = NLMSG_NEXT(header, len)) {
            take_message(link, header);
        }
    }
    return 0;
}

/* The interface that has this address. */
static void find_own(struct kmr_link *link, const char *address)
{
    struct ifaddrs *all;

    if (!address[0] || getifaddrs(&all) != 0) {
        return;
    }
    for (struct ifaddrs *at = all; at; at = at->ifa_next) {
        char text[INET6_ADDRSTRLEN] = "";

        if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET) {
            inet_ntop(AF_INET,
                      &((const struct sockaddr_in *)(const void *)at->ifa_addr)
                           ->sin_addr,
                      text, sizeof(text));
        } else if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET6) {
            inet_ntop(AF_INET6,
                      &((const struct sockaddr_in6 *)(const void *)at->ifa_addr)
                           ->sin6_addr,
                      text, sizeof(text));
        }
        if (strcmp(text, address) == 0) {
            snprintf(link->own, sizeof(link->own), "%s", at->ifa_name);
        }
    }
    freeifaddrs(all);
}

static void set(struct kmr_link *link, const char *names, const char *address)
{
    link->names[0] = link->own[0] = '\0';
    if (names[strspn(names, " ,")]) {
        snprintf(link->names, sizeof(link->names), " %s ", names);
        for (char *at = link->names; *at; at++) {
            *at = *at == ',' || *at == '\t' ? ' ' : *at;
        }
    }
    find_own(link, address);
}

int kmr_link_set(struct kmr_link *link, const char *names, const char *address)
{
    on_readable(link->fd, 0, link); /* an answer that is under way, too */
    set(link, names, address);
    for (unsigned i = link->count; i-- > 0;) {
        struct one *one = &link->ones[i];

        one->again = true;
        if (one->index == 0 && !listed(link, one->name) &&
            (link->names[0] || !one->hardware)) {
            tell(link, one, true);
            *one = link->ones[--link->count];
        }
    }
    return ask(link);
}

int kmr_link_start(qb_loop_t *loop, const char *names, const char *address,
                   void (*cb)(const struct kmr_hw_record *record, void *user),
                   void *user, struct kmr_link **ret_link)
{
    struct sockaddr_nl own = { .nl_family = AF_NETLINK,
                               .nl_groups = RTMGRP_LINK };
    struct kmr_link *link = calloc(1, sizeof(*link));
    int err = 0;

    if (!link) {
        return -ENOMEM;
    }
    link->loop = loop;
    link->cb = cb;
    link->user = user;
    set(link, names, address);
    link->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                      NETLINK_ROUTE);
    if (link->fd < 0 ||
        bind(link->fd, (struct sockaddr *)&own, sizeof(own)) != 0) {
        err = -errno;
    } else if ((err = ask(link)) == 0) {
        err = qb_loop_poll_add(loop, QB_LOOP_HIGH, link->fd, POLLIN, link,
                               on_readable);
    }
    if (err) {
        if (link->fd >= 0) {
            close(link->fd);
        }
        free(link);
        return err;
    }
    *ret_link = link;
    return 0;
}

void kmr_link_stop(struct kmr_link *link)
{
    if (link) {
        qb_loop_poll_del(link->loop, link->fd);
        close(link->fd);
        free(link);
    }
}

unsigned kmr_link_count(const struct kmr_link *link)
{
    unsigned count = 0;

    for (unsigned i = 0; i < link->count; i++) {
        count += link->ones[i].watched && link->ones[i].index != 0;
    }
    return count;
}
