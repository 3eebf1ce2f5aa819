# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of faults, which of them may overlap, and what a failed action in
crm_mon may be explained by."""

import os
import re
import time

from kmrlab import base, net, power
import pair
import rows


class Map:
    """Where the three VMs were when the fault was planned."""

    def __init__(self, places):
        self.places = places  # vm: (primary, standby)

    def on(self, node):
        """{vm: roles} of a node."""
        return {vm: {role for role, place in
                     zip(('primary', 'standby'), places) if place == node}
                for vm, places in self.places.items() if node in places}

    def row(self, vm):
        primary, standby = self.places[vm]
        third = [node for node in base.nodes()
                 if node not in (primary, standby)][0]
        return rows.Row(primary, standby, third, vm)


class Kind:
    """HITS: whose memory may go: 'primary', 'standby', or a node with all that
    is on it ('@primary'). UNSETTLES: either side of the pair may be given up,
    nobody knows which one beforehand; '@...': of each pair on that node.
    TOUCHES: what else may be noticed there, on that node or on 'all'."""

    def __init__(self, name, weight, act, hits=None, unsettles=None,
                 touches=None):
        self.name, self.weight, self.act = name, weight, act
        self.hits, self.unsettles, self.touches = hits, unsettles, touches


class Fault:
    """One fault, planned."""

    def __init__(self, kind, vm, places):
        self.kind, self.vm = kind, vm
        self.row = places.row(vm)
        self.lost = {}       # vm: roles
        self.unsettled = set()
        self.node = None     # that goes down
        if kind.hits in ('primary', 'standby'):
            self.lost[vm] = {kind.hits}
        elif kind.hits:
            self.node = getattr(self.row, kind.hits[1:])
            self.lost = places.on(self.node)
        if kind.unsettles == 'pair':
            self.unsettled = {vm}
        elif kind.unsettles:
            self.unsettled = set(places.on(getattr(self.row,
                                                   kind.unsettles[1:])))

        touched = []
        if kind.touches:
            touched = base.nodes() if kind.touches == 'all' else \
                [getattr(self.row, kind.touches[1:])]
        # whose blackouts count as this fault's
        self.concerned = {vm} | self.endangers()
        for node in touched:
            self.concerned |= set(places.on(node))

    def endangers(self):
        return set(self.lost) | self.unsettled

    def may_overlap(self, other):
        """No majority lost, and never both copies of a VM: what is only in
        memory would be gone by design."""
        if self.node and other.node and self.node != other.node:
            return False
        for vm in self.endangers() & other.endangers():
            if vm in self.unsettled or vm in other.unsettled or \
                    self.lost[vm] | other.lost[vm] == {'primary', 'standby'}:
                return False
        # a node's boot takes links and services with it: one at a time
        return not (self.node and self.node == other.node)

    def text(self):
        return f'{self.kind.name} {self.vm} ({self.row.primary} -> ' \
            f'{self.row.standby})'

    def do(self):
        """Why it could not be done, or None."""
        try:
            self.kind.act(self.row)
        except base.LabError as problem:
            return str(problem)
        return None


# -------------------------------------------------------------------- actions

def off(role):
    def act(row):
        row.now()
        power.order(f'off {getattr(row, role)}')
    return act


def cut(role, *links):
    """Pulled, and left so: whoever ends the fault heals it."""
    def act(row):
        row.now()
        for link in links:
            net.cut(getattr(row, role), link)
    return act


def brief(role, link, seconds):
    def act(row):
        node = getattr(row, role)
        row.now()
        net.cut(node, link)
        time.sleep(seconds)
        if base.pid_of(node):
            net.heal(node, link)
    return act


def degraded(role, link, *words):
    def act(row):
        row.now()
        net.degrade(getattr(row, role), link, list(words))
        time.sleep(5)
        net.heal(getattr(row, role), link)
    return act


def killed(service, *roles, pause=1.0):
    def act(row):
        nodes = [getattr(row, role) for role in roles]
        row.now()
        for node in nodes:
            rows.signal_service(node, service, 9)
        time.sleep(pause)
        for node in nodes:
            if base.pid_of(node):
                rows.start_service(node, service)
    return act


def hung(service, role, seconds):
    def act(row):
        node = getattr(row, role)
        row.now()
        rows.signal_service(node, service, 19)
        time.sleep(seconds)
        if base.pid_of(node):
            rows.signal_service(node, service, 18)
    return act


def asked(*words):
    """An operator's order, given on any node that lives."""
    def act(row):
        node = row.third if base.pid_of(row.third) else pair.living()[0]
        row.now()
        pair.on(node, *[word.replace('VM', row.vm) for word in words])
    return act


# What kills the third node of a pair as well is left to the other pairs: each
# node is the primary's, the standby's and the third one of some pair.
KINDS = [
    Kind('qemu-killed', 10, rows.qemu_killed, hits='primary'),
    Kind('qemu-hangs', 5, rows.qemu_hangs, hits='primary'),
    Kind('standby-killed', 6, rows.standby_killed, hits='standby'),
    Kind('standby-hangs', 4, rows.standby_hangs, hits='standby'),
    Kind('node-off', 6, off('primary'), hits='@primary'),
    Kind('repl-cut', 4, brief('primary', 'repl', 4), unsettles='@primary'),
    Kind('repl-flaps', 3, brief('standby', 'repl', 0.5),
         unsettles='@standby'),
    Kind('cluster-cut', 3, cut('primary', 'cluster'), hits='@primary'),
    Kind('all-cut', 2, cut('primary', *base.LINKS), hits='@primary'),
    Kind('storage-cut', 3, brief('primary', 'storage', 2),
         touches='@primary'),
    Kind('repl-loss', 2, degraded('primary', 'repl', 'loss=20'),
         unsettles='@primary'),
    Kind('repl-delay', 2, degraded('primary', 'repl', 'delay=100'),
         unsettles='@primary'),
    Kind('cluster-loss', 2, degraded('standby', 'cluster', 'loss=10'),
         hits='@standby'),
    Kind('kemarid', 4, killed('kemarid', 'primary'),
         touches='@primary'),
    Kind('kemarid-standby', 4, killed('kemarid', 'standby'),
         touches='@standby'),
    Kind('kemarid-all', 3, killed('kemarid', 'primary', 'standby', 'third'),
         touches='all'),
    Kind('libvirtd', 4, killed('libvirtd', 'primary'),
         touches='@primary'),
    Kind('libvirtd-hangs', 4, hung('libvirtd', 'standby', 3),
         touches='@standby'),
    Kind('pacemaker', 3, killed('pacemaker', 'primary'), hits='@primary'),
    Kind('corosync', 3, lambda row: (row.now(), rows.signal_service(
        row.primary, 'corosync', 9)), hits='@primary'),
    Kind('handover', 8, asked('kemarictl', 'handover', 'VM'),
         hits='primary'),
    Kind('takeover', 4, asked('kemarictl', 'takeover', 'VM'),
         hits='primary'),
    Kind('move', 5, asked('nice', 'timeout', '60', 'pcs', 'resource', 'move',
                          'VM-clone', '--promoted'), hits='primary'),
]
ORDERS = ('handover', 'takeover', 'move')


def plan(random, places, overlap):
    """One fault, or two and the seconds between them."""
    def draw():
        kind = random.choices(KINDS, [kind.weight for kind in KINDS])[0]
        return Fault(kind, random.choice(sorted(places.places)), places)

    first = draw()
    if random.random() >= overlap:
        return [first], 0
    delay = random.choice((0, random.uniform(0.05, 1), random.uniform(1, 5)))
    second = draw()
    while not first.may_overlap(second):
        second = draw()
    return [first, second], delay


# --------------------------------------------------------- what is no surprise

# kind: (action, text of the exit code and reason), on any node. A monitor that
# says "degraded" is never a failure: the VM was not protected, as it said.
EXPLAINED = {
    # The agent's commands have nobody to talk to while it is dead.
    'kemarid': (r'.', r'no kemarid'),
    'kemarid-standby': (r'.', r'no kemarid'),
    'kemarid-all': (r'.', r'no kemarid'),
    # Pacemaker's own parts were killed under their actions.
    'pacemaker': (r'.', r'pending|pacemaker|executor|[Ll]ost'),
}


def is_explained(failure, kinds):
    action, text = failure['action'], failure['text']
    return any(kind in EXPLAINED and
               re.search(EXPLAINED[kind][0], action) and
               re.search(EXPLAINED[kind][1], text) for kind in kinds)


def heal_all():
    for node in base.nodes():
        for link in base.LINKS:
            if net.is_cut(node, link) or \
                    os.path.exists(net.degrade_file(node, link)):
                net.heal(node, link)
