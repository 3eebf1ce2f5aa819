# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest does itself. Its memory and its connections are gone then, so
that there is no ledger across it: the pair has to stay what it is, or to be
one again, and a new client to find all in order."""

import os
import time

from client import Client, find_client
from kmrlab import base
import pair

CONSOLE = '/var/log/libvirt/qemu/vm0-console.log'
REBOOT_S = 60


def boots(node):
    """How often the witness got ready there."""
    return pair.on(node, 'sh', '-c',
                   f'grep -ac "ready on port" {CONSOLE} || :').strip()


def sysrq(node, key):
    """What a keyboard does; the guest's own kernel obeys."""
    pair.on(node, 'virsh', 'send-key', 'vm0', 'KEY_LEFTALT', 'KEY_SYSRQ',
            f'KEY_{key}')


def serves():
    """A new client, a second of requests."""
    client = Client(find_client())
    for path in (client.log, client.json,
                 f'{base.RECORDS}/client-vm0.ledger'):
        if os.path.exists(path):
            os.unlink(path)
    client.start()
    mark = client.answers()
    base.wait_for('answers', lambda: client.answers() > mark + 50, 20, 0.2)
    ledger = client.stop()
    return None if ledger['good'] else f'the ledger of a new client: {ledger}'


def instances():
    """The pair's two QEMUs. Not the generation: a node that comes back changes
    the voters."""
    now = pair.status()
    return [now[side]['instance'] for side in ('primary', 'standby')]


def stays_paired(report, act):
    """The owner is the same, protected all the time, and the guest is new."""
    primary, standby = pair.sides()
    qemus = instances()
    before = boots(primary)
    act(primary)
    base.wait_for('the guest to boot', lambda: boots(primary) != before,
                  REBOOT_S, 0.5)
    pair.wait_protected(REBOOT_S, report.note)
    now = pair.sides()
    if now != (primary, standby) or instances() != qemus:
        return (f'{primary}, {standby} ({qemus}) before, {now[0]}, {now[1]} '
                f'({instances()}) now')
    return serves()


def guest_reboots(report):
    return stays_paired(report, lambda node: sysrq(node, 'B'))


def guest_is_reset(report):
    return stays_paired(report, lambda node: pair.on(node, 'virsh', 'reset',
                                                     'vm0'))


def guest_panics(report):
    """The kernel of the guest stops for good: whether that is to be cured, and
    how, is the operator's. Nobody takes over what is just as dead there."""
    def panic(node):
        sysrq(node, 'C')
        time.sleep(5)
        state = pair.status()['state']
        if state != 'protected':
            raise base.LabError(f'after the panic: {state}')
        pair.on(node, 'virsh', 'reset', 'vm0')
    return stays_paired(report, panic)


def guest_powers_off(report):
    """Not resumed by its standby. For Pacemaker a VM that ended is one that
    failed: it starts it again."""
    primary, _ = pair.sides()
    at = time.monotonic_ns() // 1000
    pair.on(primary, 'virsh', 'shutdown', 'vm0')
    base.wait_for('the end', lambda: pair.primary() is None or any(
        item['mono_us'] >= at and item['to'] == 'KILLING'
        for item in pair.events()), 30, 0.2)
    pair.wait_protected(120, report.note)
    taken = [item for item in pair.events()
             if item['mono_us'] >= at and item['to'] == 'TAKING_OVER']
    pair.on(pair.living()[0], 'pcs', 'resource', 'cleanup')
    if taken:
        return f'{taken[0]["node"]} resumed a guest that had powered off'
    return serves()


GUEST_ROWS = [
    ('guest-reboots', 'the guest reboots', guest_reboots),
    ('guest-reset', 'virsh reset', guest_is_reset),
    ('guest-panics', 'the guest\'s kernel panics, then virsh reset',
     guest_panics),
    ('guest-off', 'the guest powers itself off', guest_powers_off),
]
