# SPDX-License-Identifier: GPL-2.0-or-later
"""The rows of the failure table: what is done to the nodes. A row names where
the VM should run afterwards."""

import time

from kmrlab import base, cluster, net, power
import pair
import timeline


class Row:
    """One row under way: who is who, and what is to be undone."""

    def __init__(self, primary, standby, third, vm='vm0'):
        self.primary, self.standby, self.third = primary, standby, third
        self.vm = vm
        self.at = None
        self.undo = []

    def now(self):
        self.at = time.monotonic_ns() // 1000

    def end(self):
        while self.undo:
            self.undo.pop()()


def sh(node, script):
    """A script in a node; it names pids that the node's own files name."""
    return pair.on(node, 'sh', '-c', script)


def signal_qemu(row, node, number):
    pid = pair.qemu_pid(node, row.vm)
    row.now()
    sh(node, f'kill -{number} {pid}')


def signal_service(node, service, number):
    sh(node, f'read -r pid _ </run/lab/{service} && kill -{number} "$pid"')


def start_service(node, service):
    sh(node, f'systemctl start {service}')


# ------------------------------------------------------------ QEMU and nodes

def qemu_killed(row):
    signal_qemu(row, row.primary, 9)


def qemu_hangs(row):
    signal_qemu(row, row.primary, 19)


def standby_killed(row):
    signal_qemu(row, row.standby, 9)


def standby_hangs(row):
    signal_qemu(row, row.standby, 19)


def node_killed(row):
    row.now()
    power.order(f'off {row.primary}')


def standby_node_killed(row):
    row.now()
    power.order(f'off {row.standby}')


def both_qemus_stop_third_dies(row):
    """A majority is what is left: the third node's vote is not needed."""
    power.order(f'off {row.third}')
    signal_qemu(row, row.primary, 9)


def clean_leave(row):
    row.now()
    pair.on(row.primary, 'nice', 'pcs', 'cluster', 'stop', '--force')
    row.undo.append(lambda: pair.on(row.primary, 'pcs', 'cluster', 'start'))


def moved(row):
    row.now()
    pair.on(row.third, 'nice', 'pcs', 'resource', 'move',
            f'{row.vm}-clone', '--promoted')


def handed_over(row):
    row.now()
    pair.on(row.third, 'kemarictl', 'handover', row.vm)


def taken_over(row):
    row.now()
    pair.on(row.third, 'kemarictl', 'takeover', row.vm)


# --------------------------------------------------------------------- links

def cut(node_of, *links, fences=False):
    """Cut until the row ends; or, where that follows, until it is fenced."""
    def act(row):
        node = node_of(row)
        row.now()
        for link in links:
            net.cut(node, link)
        if fences:
            wait_fenced(row, node)
    return act


def wait_fenced(row, node):
    base.wait_for(f'{node} to be fenced', lambda: timeline.power_time(
        f'{node} reboot confirmed', row.at), 60, 0.2)


def storage_cut(row):
    """For less than the guest's patience: its requests wait."""
    row.now()
    net.cut(row.primary, 'storage')
    time.sleep(2)
    net.heal(row.primary, 'storage')


def degraded(link, *words):
    def act(row):
        net.degrade(row.primary, link, list(words))
        row.now()
        time.sleep(6)
        net.heal(row.primary, link)
    return act


def one_way(word):
    """The primary's cluster link, until the others have fenced it for that."""
    def act(row):
        row.now()
        net.degrade(row.primary, 'cluster', [word])
        wait_fenced(row, row.primary)
        net.heal(row.primary, 'cluster')
    return act


# ------------------------------------------------------------------- daemons

def kemarid_killed(row):
    row.now()
    for node in (row.primary, row.standby, row.third):
        signal_service(node, 'kemarid', 9)
    time.sleep(2)
    for node in (row.primary, row.standby, row.third):
        start_service(node, 'kemarid')
    time.sleep(2)


def kemarid_killed_in_claim(row):
    """The claimant dies at a random moment of its claim, and comes back."""
    pid = pair.qemu_pid(row.primary)
    sh(row.standby,
       'read -r pid _ </run/lab/kemarid; '
       '(sleep 0.$(($(date +%N | cut -c1-2) % 6))$(date +%N | cut -c3-4); '
       'kill -9 "$pid"; sleep 1; systemctl start kemarid) '
       '</dev/null >/dev/null 2>&1 &')
    row.now()
    sh(row.primary, f'kill -9 {pid}')


def owner_kemarid_killed(row):
    """Nobody says that the old owner is dead until its kemarid is back."""
    signal_service(row.primary, 'kemarid', 9)
    signal_qemu(row, row.primary, 9)
    time.sleep(1.5)
    start_service(row.primary, 'kemarid')


def hangs_without_kemarid(row):
    """The kemarid that comes back finds a QEMU that answers nothing, and whose
    end the new owner waits for."""
    row.now()
    signal_qemu(row, row.primary, 19)
    signal_service(row.primary, 'kemarid', 9)
    time.sleep(1.5)
    start_service(row.primary, 'kemarid')


def libvirtd_killed(row):
    row.now()
    for node in (row.primary, row.standby):
        signal_service(node, 'libvirtd', 9)
    time.sleep(2)
    for node in (row.primary, row.standby):
        start_service(node, 'libvirtd')
    time.sleep(3)


def libvirtd_hangs(row):
    """The order to release hangs in it while the standby's place is lost;
    R7: what comes late does no harm."""
    signal_service(row.primary, 'libvirtd', 19)
    signal_qemu(row, row.standby, 9)
    time.sleep(4)
    signal_service(row.primary, 'libvirtd', 18)


def standby_libvirtd_hangs(row):
    """The order to take over hangs for a while."""
    signal_service(row.standby, 'libvirtd', 19)
    signal_qemu(row, row.primary, 9)
    time.sleep(3)
    signal_service(row.standby, 'libvirtd', 18)


def pacemaker_killed(row):
    row.now()
    signal_service(row.primary, 'pacemaker', 9)
    time.sleep(1)
    start_service(row.primary, 'pacemaker')
    time.sleep(5)


def corosync_killed(row):
    row.now()
    signal_service(row.primary, 'corosync', 9)
    wait_fenced(row, row.primary)


# ---------------------------------------------------------------- state files

def disk_full(row):
    """The standby's node can't promise anything; the other two can."""
    sh(row.standby, 'mkdir -p /run/full && '
       'mount -t tmpfs -o size=32k none /run/full && '
       'cp -a /var/lib/kemari/. /run/full/ && '
       'mount --bind /run/full /var/lib/kemari && '
       '{ dd if=/dev/zero of=/var/lib/kemari/filler bs=1k 2>/dev/null; true; }')
    row.undo.append(lambda: sh(row.standby, 'umount /var/lib/kemari && '
                               'umount /run/full && rmdir /run/full'))
    signal_qemu(row, row.primary, 9)


def voters(row):
    """As the standby's node knows them; its own file is left alone."""
    text = pair.on(row.standby, 'cat', '/var/lib/kemari/vm0.state')
    return {line.split('=')[1] for line in text.splitlines()
            if line.startswith('voter')}


def replace_state(node, script):
    signal_service(node, 'kemarid', 9)
    time.sleep(0.3)
    sh(node, f'cd /var/lib/kemari && {script}')
    start_service(node, 'kemarid')


def admitted(row, node, before):
    """Its new file became a voter's, by a record."""
    base.wait_for(f'{node} admitted anew', lambda: any(
        voter.split()[0] == node and voter not in before
        for voter in voters(row)), 20, 0.5)


def state_lost(row):
    before = voters(row)
    row.now()
    replace_state(row.third, 'rm -f vm0.state')
    admitted(row, row.third, before)


def owner_state_lost(row):
    """Its QEMU runs on: kemarid must find it, not declare it dead."""
    before = voters(row)
    row.now()
    replace_state(row.primary, 'rm -f vm0.state')
    admitted(row, row.primary, before)


def state_corrupt(row):
    before = voters(row)
    row.now()
    replace_state(row.third, 'sed -i s/paired/solo/ vm0.state')
    admitted(row, row.third, before)


def state_rolled_back(row):
    """Promises were made after the copy: it must not vote on them again."""
    before = voters(row)
    sh(row.third, 'cp /var/lib/kemari/vm0.state /tmp/old.state')
    pair.on(row.third, 'kemarictl', 'handover', 'vm0')
    row.now()
    pair.wait_protected(60, lambda text: None)
    replace_state(row.third, 'cp /tmp/old.state vm0.state')
    pair.on(row.primary, 'kemarictl', 'handover', 'vm0')
    admitted(row, row.third, before)


ROWS = [
    ('qemu-killed', 'SIGKILL for the primary', 'standby', qemu_killed),
    ('qemu-hangs', 'SIGSTOP for the primary', 'standby', qemu_hangs),
    ('standby-killed', 'SIGKILL for the standby', 'primary', standby_killed),
    ('standby-hangs', 'SIGSTOP for the standby', 'primary', standby_hangs),
    ('node-killed', 'the primary\'s node loses its power', 'standby',
     node_killed),
    ('standby-node', 'the standby\'s node loses its power', 'primary',
     standby_node_killed),
    ('third-node', 'the third node loses its power, then SIGKILL for the '
     'primary', 'standby', both_qemus_stop_third_dies),
    ('leave', 'the primary\'s node leaves the cluster cleanly', 'standby',
     clean_leave),
    ('move', 'pcs resource move', 'standby', moved),
    ('handover', 'kemarictl handover', 'standby', handed_over),
    ('takeover', 'kemarictl takeover', 'standby', taken_over),
    ('repl-cut', 'the replication link is cut', 'either',
     cut(lambda row: row.primary, 'repl')),
    ('cluster-cut', 'the primary\'s cluster link is cut', 'standby',
     cut(lambda row: row.primary, 'cluster', fences=True)),
    ('cluster-cut-sb', 'the standby\'s cluster link is cut', 'primary',
     cut(lambda row: row.standby, 'cluster', fences=True)),
    ('storage-cut', 'the primary\'s storage link is cut for 2 s', 'either',
     storage_cut),
    ('all-cut', 'all links of the primary are cut', 'standby',
     cut(lambda row: row.primary, 'cluster', 'repl', 'storage', 'guest',
         fences=True)),
    ('repl-loss', '30 % loss on the replication link', 'either',
     degraded('repl', 'loss=30')),
    ('repl-delay', '200 ms delay on the replication link', 'either',
     degraded('repl', 'delay=200')),
    ('repl-reorder', 'frames reordered and doubled there', 'either',
     degraded('repl', 'reorder=20', 'dup=10')),
    ('cluster-loss', '10 % loss on the cluster link', 'either',
     degraded('cluster', 'loss=10')),
    ('repl-deaf', 'nothing arrives on the primary\'s replication link',
     'either', degraded('repl', 'loss_in=100')),
    ('repl-dumb', 'nothing leaves on the primary\'s replication link',
     'either', degraded('repl', 'loss_out=100')),
    ('cluster-deaf', 'nothing arrives on the primary\'s cluster link',
     'standby', one_way('loss_in=100')),
    ('cluster-dumb', 'nothing leaves on the primary\'s cluster link',
     'standby', one_way('loss_out=100')),
    ('kemarid', 'SIGKILL for all kemarids', 'primary', kemarid_killed),
    ('kemarid-claim', 'SIGKILL for the claimant in its claim', 'standby',
     kemarid_killed_in_claim),
    ('kemarid-owner', 'SIGKILL for the owner\'s kemarid and its QEMU',
     'standby', owner_kemarid_killed),
    ('kemarid-hangs', 'SIGSTOP for the primary, SIGKILL for its kemarid',
     'standby', hangs_without_kemarid),
    ('libvirtd', 'SIGKILL for both libvirtds', 'primary', libvirtd_killed),
    ('libvirtd-hangs', 'an order to release hangs in libvirtd', 'primary',
     libvirtd_hangs),
    ('libvirtd-hangs-sb', 'an order to take over hangs in libvirtd', 'standby',
     standby_libvirtd_hangs),
    ('pacemaker', 'SIGKILL for pacemakerd', 'either', pacemaker_killed),
    ('corosync', 'SIGKILL for corosync', 'standby', corosync_killed),
    ('disk-full', 'no room for the standby\'s state file, and SIGKILL for the '
     'primary', 'standby', disk_full),
    ('state-lost', 'a voter\'s state file is gone', 'primary', state_lost),
    ('state-lost-own', 'the owner\'s state file is gone', 'primary',
     owner_state_lost),
    ('state-corrupt', 'a voter\'s state file is damaged', 'primary',
     state_corrupt),
    ('state-rollback', 'a voter\'s state file is an old copy', 'primary',
     state_rolled_back),
]


# ------------------------------------------- what ends the client's connections

def whole_cluster(report):
    """Everything loses power and comes back in another order."""
    nodes = base.nodes()
    for node in nodes:
        power.order(f'off {node}')
    for node in reversed(nodes):
        power.order(f'on {node}')
        time.sleep(0.5)
    cluster.wait_for_cluster()
    try:
        pair.wait_protected(180, report.note)
    except base.LabError as problem:
        return str(problem)
    return None


AFTERWARDS = [
    ('power-cut', 'the whole cluster loses power, nodes return in any order',
     whole_cluster),
]
