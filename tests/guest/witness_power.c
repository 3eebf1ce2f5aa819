/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's power button: what an operator's "stop" presses. */
#include "witness_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <unistd.h>

#define EVENTS_MAX 16

static struct pollfd buttons[EVENTS_MAX];
static unsigned button_count;

/* Every device that has the key: ACPI's button, and a keyboard may too. */
static void find_buttons(void)
{
    for (unsigned n = 0; n < EVENTS_MAX; n++) {
        uint8_t keys[KEY_MAX / 8 + 1] = { 0 };
        char path[32];
        int fd;

        snprintf(path, sizeof(path), "/dev/input/event%u", n);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        if (ioctl(fd, EVIOCGBIT(EV_KEY, sizeof(keys)), keys) >= 0 &&
            (keys[KEY_POWER / 8] & (1u << (KEY_POWER % 8)))) {
            buttons[button_count++] =
                (struct pollfd){ .fd = fd, .events = POLLIN };
        } else {
            close(fd);
        }
    }
}

static bool was_pressed(struct pollfd *button)
{
    struct input_event event;
    ssize_t got;

    if (button->revents == 0) {
        return false;
    }
    got = read(button->fd, &event, sizeof(event));
    if (got != sizeof(event)) {
        button->fd = -1; /* unplugged */
        return false;
    }
    return event.type == EV_KEY && event.code == KEY_POWER && event.value == 1;
}

static void *watch_buttons(void *arg)
{
    bool pressed = false;

    (void)arg;
    while (!pressed) {
        if (poll(buttons, button_count, -1) <= 0) {
            continue;
        }
        for (unsigned i = 0; i < button_count; i++) {
            pressed |= was_pressed(&buttons[i]);
        }
    }
    /* Between two requests: what was begun is on the disk, and answered. */
    wit_stop_serving();
    wit_disk_check_table();
    wit_say("power button: off");
    sync();
    reboot(RB_POWER_OFF);
    wit_say("FAILED: power off");
    return NULL;
}

int wit_power_start(void)
{
    pthread_t thread;
    int err;

    find_buttons();
    if (button_count == 0) {
        return -ENODEV;
    }
    err = pthread_create(&thread, NULL, watch_buttons, NULL);
    if (err == 0) {
        pthread_detach(thread);
    }
    return -err;
}
