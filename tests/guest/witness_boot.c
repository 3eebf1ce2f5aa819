/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the witness does as process 1 before it serves. */
#include "witness_guest.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * Kernel's minimum is 200 ms; a lost segment would be the longest part of a
 * failover. The client's side needs the same on its route.
 */
#define RTO_MIN_MS 20

void wit_boot_mount(void)
{
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/dev", 0755);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    int fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0) {
        dup2(fd, 0);
        dup2(fd, 1);
        dup2(fd, 2);
    }
}

void wit_boot_modules(const char *order)
{
    char name[WIT_NAME_MAX];
    FILE *file = fopen(order, "re");

    if (!file) {
        return;
    }
    while (fgets(name, sizeof(name), file)) {
        char path[WIT_NAME_MAX + 16];
        name[strcspn(name, "\n")] = '\0';
        snprintf(path, sizeof(path), "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 ||
            (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) {
            wit_say("module %s: %s", name, strerror(errno));
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    fclose(file);
}

int wit_boot_await(const char *path, int timeout_ms)
{
    for (int waited_ms = 0; waited_ms < timeout_ms; waited_ms += 10) {
        if (access(path, F_OK) == 0) {
            return 0;
        }
        nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
    }
    return -ETIMEDOUT;
}

static unsigned long long address_of(const char *card)
{
    char path[64];
    unsigned byte[6] = { 0 };
    unsigned long long address = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/sys/class/net/%.15s/address", card);
    file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%x:%x:%x:%x:%x:%x", &byte[0], &byte[1], &byte[2],
                   &byte[3], &byte[4], &byte[5]) == 6) {
            for (unsigned i = 0; i < 6; i++) {
                address = address << 8 | byte[i];
            }
        }
        fclose(file);
    }
    return address;
}

/* The card with the lowest hardware address that is above ABOVE, and that. */
static int find_card(char *name, unsigned long long *above)
{
    DIR *dir = opendir("/sys/class/net");
    unsigned long long lowest = ~0ull;
    struct dirent *entry;

    if (!dir) {
        return -errno;
    }
    while ((entry = readdir(dir))) {
        unsigned long long address = address_of(entry->d_name);
        if (address > *above && address < lowest) {
            snprintf(name, IFNAMSIZ, "%.15s", entry->d_name);
            lowest = address;
        }
    }
    closedir(dir);
    *above = lowest == ~0ull ? *above : lowest;
    return lowest == ~0ull ? -ENODEV : 0;
}

static void add_attribute(struct nlmsghdr *header, unsigned short type,
                          const void *data, size_t bytes)
{
    struct rtattr *attribute =
        (void *)((char *)header + NLMSG_ALIGN(header->nlmsg_len));

    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(bytes);
    memcpy(RTA_DATA(attribute), data, bytes);
    header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) +
                        (uint32_t)RTA_ALIGN(attribute->rta_len);
}

/* "ip route replace SUBNET dev CARD src IP rto_min 20ms" */
static int set_rto_min(const struct wit_config *config, int index)
{
    struct {
        struct nlmsghdr header;
        struct rtmsg route;
        char attributes[128];
    } message = {
        .header = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                    .nlmsg_type = RTM_NEWROUTE,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE |
                                   NLM_F_REPLACE },
        .route = { .rtm_family = AF_INET,
                   .rtm_dst_len = (unsigned char)config->prefix,
                   .rtm_table = RT_TABLE_MAIN,
                   .rtm_protocol = RTPROT_KERNEL,
                   .rtm_scope = RT_SCOPE_LINK,
                   .rtm_type = RTN_UNICAST },
    };
    struct {
        struct rtattr attribute;
        uint32_t value;
    } metric = { { sizeof(metric), RTAX_RTO_MIN }, RTO_MIN_MS };
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[256];
    } answer;
    uint32_t mask = config->prefix ? htonl(~0u << (32 - config->prefix)) : 0;
    uint32_t subnet = config->ip.s_addr & mask;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    int ret = 0;

    if (fd < 0) {
        return -errno;
    }
    add_attribute(&message.header, RTA_DST, &subnet, sizeof(subnet));
    add_attribute(&message.header, RTA_PREFSRC, &config->ip, 4);
    add_attribute(&message.header, RTA_OIF, &index, sizeof(index));
    add_attribute(&message.header, RTA_METRICS, &metric, sizeof(metric));
    if (send(fd, &message, message.header.nlmsg_len, 0) < 0) {
        ret = -errno;
    } else if (recv(fd, &answer, sizeof(answer), 0) <
               (ssize_t)NLMSG_LENGTH(sizeof(answer.error))) {
        ret = -EPROTO;
    } else {
        ret = answer.error.error;
    }
    close(fd);
    return ret;
}

static void set_address(struct ifreq *request, struct in_addr address)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr = address };

    memcpy(&request->ifr_addr, &name, sizeof(name));
}

static int bring_up(const char *card, const struct wit_config *config)
{
    struct ifreq request = { 0 };
    struct in_addr mask = { config->prefix ? htonl(~0u << (32 - config->prefix))
                                           : 0 };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int ret = 0;

    if (fd < 0) {
        return -errno;
    }
    snprintf(request.ifr_name, IFNAMSIZ, "%.15s", card);
    set_address(&request, config->ip);
    ret = ioctl(fd, SIOCSIFADDR, &request);
    set_address(&request, mask);
    ret = ret ? ret : ioctl(fd, SIOCSIFNETMASK, &request);
    memset(&request.ifr_addr, 0, sizeof(request.ifr_addr));
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    ret = ret ? ret : ioctl(fd, SIOCSIFFLAGS, &request);
    ret = ret ? -errno : 0;
    close(fd);
    return ret;
}

static int await_cards(unsigned count)
{
    char card[IFNAMSIZ];

    for (int i = 0; i < 200; i++) {
        unsigned long long above = 0;
        unsigned found = 0;
        while (found < count && find_card(card, &above) == 0) {
            found++;
        }
        if (found == count) {
            return 0;
        }
        nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL);
    }
    return -ENODEV;
}

int wit_boot_network(const struct wit_config *config)
{
    char card[IFNAMSIZ];
    struct wit_config local = { .prefix = 8, .has_ip = true };
    struct wit_config second = *config;
    unsigned long long above = 0;
    int ret;

    local.ip.s_addr = htonl(INADDR_LOOPBACK);
    bring_up("lo", &local);
    second.ip = config->ip2;
    ret = await_cards(config->has_ip2 ? 2 : 1);
    for (const struct wit_config *one = config; ret == 0 && one;
         one = one == config && config->has_ip2 ? &second : NULL) {
        ret = find_card(card, &above);
        ret = ret ? ret : bring_up(card, one);
        if (ret == 0) {
            int error = set_rto_min(one, (int)if_nametoindex(card));
            if (error) {
                wit_say("rto_min: %s; failovers will look longer",
                        strerror(-error));
            }
        }
    }
    return ret;
}
