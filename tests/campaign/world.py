# SPDX-License-Identifier: GPL-2.0-or-later
"""Three pairs crosswise on three nodes, each under a client."""

import os
import shutil
import time

from kmrlab import base, cluster, power
from client import Client
import faults
import pair
import records

VMS = ('vm0', 'vm1', 'vm2')
PROTECT_S = 150   # until all are protected again, fencing included
ANSWER_S = 90


class Stuck(Exception):
    """The cluster did not come back by itself; or a client's connection
    did not outlive a fault."""


def create():
    """vmN: primary on node N + 1, standby on the next one. They stay where
    they are after a fault (stickiness): nobody moves them back."""
    nodes = base.nodes()
    cib = '/tmp/campaign.xml'
    pair.on('node1', 'pcs', 'cluster', 'cib', cib)
    for number, vm in enumerate(VMS):
        pair.on('node1', 'pcs', '-f', cib, 'resource', 'create', vm,
                'ocf:kemari:vm', f'config=/etc/kemari/{vm}.xml', 'promotable',
                'promoted-max=1', 'clone-max=2', 'notify=true', 'meta',
                'resource-stickiness=100')
        first, second = nodes[number], nodes[(number + 1) % len(nodes)]
        pair.on('node1', 'pcs', '-f', cib, 'constraint', 'location',
                f'{vm}-clone', 'prefers', f'{first}=20', f'{second}=10',
                '--force')
    pair.on('node1', 'pcs', 'cluster', 'cib-push', cib)


def places():
    """{vm: (primary, standby, generation)} of what is protected."""
    found = {}
    for node in pair.living():
        for item in (pair.ask(node, 'status') or {}).get('pairs', []):
            if item['state'] == 'protected' and item.get('primary') and \
                    item.get('standby'):
                entry = (item['primary']['node'], item['standby']['node'],
                         item['generation'])
                if found.setdefault(item['name'], entry) != entry:
                    return {}  # one of them is behind
    return found


def failures():
    """Failed actions in crm_mon."""
    root = cluster.view(pair.living()[0])
    if root is None:
        raise Stuck('Pacemaker gives no answer')
    return [{'action': item.get('op_key', ''), 'node': item.get('node', ''),
             'text': f'{item.get("exitstatus")}: {item.get("exitreason")}'}
            for item in root.iter('failure')
            if 'degraded' not in item.get('exitstatus', '')]


class World:
    def __init__(self, program):
        cluster.up(3)
        create()
        self.clients = {vm: Client(program, vm, f'{base.RECORDS}/{vm}.err')
                        for vm in VMS}
        self.answers = {}
        self.protected_at = {}
        self.wait_protected(time.monotonic_ns() // 1000)
        self.detector = records.Detector(VMS)
        self.start_clients()

    # ---------------------------------------------------------------- clients

    def start_clients(self):
        for vm, client in self.clients.items():
            for path in (client.log, client.complaints):
                if os.path.exists(path):
                    os.unlink(path)
            client.launch()
            self.answers[vm] = records.Answers(client.log)
        base.wait_for('the first answers', lambda: all(
            each.since(0) > 20 for each in self.answers.values()), 30, 0.2)

    def complaints(self):
        """What the clients said on stderr: a reset, a loss, a lie."""
        found = []
        for vm, client in self.clients.items():
            client.alive()
            with open(client.complaints, encoding='utf-8') as file:
                found += [f'{vm}: {line.strip()}' for line in file]
        return found

    def judge(self):
        """Ends the clients; (their verdicts, double runs)."""
        for client in self.clients.values():
            client.tell_to_stop()
        ledgers = {vm: client.verdict()
                   for vm, client in self.clients.items()}
        return ledgers, self.detector.judge()

    # --------------------------------------------------------------- recovery

    def repair(self):
        """What the operator does: cables, power, services. Fencing boots what
        it has switched off."""
        faults.heal_all()
        try:
            base.wait_for('fenced nodes to be back', lambda:
                          len(pair.living()) == len(base.nodes()), 20, 0.2)
        except base.LabError:
            for node in base.nodes():
                if not base.pid_of(node):
                    power.order(f'on {node}')

    def wait_protected(self, at):
        """All three, the same two seconds later, in a whole cluster. Notes
        when each was."""
        self.protected_at = {}
        end = time.monotonic() + PROTECT_S
        before = None
        while time.monotonic() < end:
            now = places()
            for vm in VMS:
                if vm not in now:
                    self.protected_at.pop(vm, None)
                elif vm not in self.protected_at:
                    self.protected_at[vm] = \
                        (time.monotonic_ns() // 1000 - at) / 1e6
            if len(now) == len(VMS):
                if now == before and cluster.is_complete(pair.living()[0]):
                    return {vm: entry[:2] for vm, entry in now.items()}
                before = now
                time.sleep(2)
            else:
                before = None
                time.sleep(0.5)
        missing = [vm for vm in VMS if vm not in places()]
        raise Stuck(f'not protected within {PROTECT_S} s: '
                    f'{" ".join(missing) or "the cluster is not whole"}\n' +
                    cluster.in_node(pair.living()[0], 'kemarictl',
                                    'status').stdout +
                    cluster.in_node(pair.living()[0], 'crm_mon',
                                    '-1Arf').stdout)

    def wait_answers(self, at):
        """Of all VMs, and so late that no old primary can have sent them."""
        try:
            base.wait_for('answers', lambda: all(
                each.since(at + 500000) > 5
                for each in self.answers.values()), ANSWER_S, 0.5)
        except base.LabError:
            silent = [vm for vm, each in self.answers.items()
                      if each.since(at + 500000) <= 5]
            raise Stuck(f'no answers for {ANSWER_S} s: {" ".join(silent)}') \
                from None

    def clean(self):
        """No failed action, no constraint of a move is left to the next."""
        node = pair.living()[0]
        cluster.in_node(node, 'pcs', 'resource', 'cleanup')
        for vm in VMS:
            if 'cli-' in cluster.in_node(node, 'pcs', 'constraint', 'location',
                                         '--full').stdout:
                cluster.in_node(node, 'pcs', 'resource', 'clear',
                                f'{vm}-clone')


def keep_logs(target):
    """For whoever looks for the reason later."""
    os.makedirs(target, exist_ok=True)
    for node in base.nodes():
        shutil.copytree(f'{base.DATA}/nodes/{node}/var/log',
                        f'{target}/{node}', dirs_exist_ok=True,
                        ignore_dangling_symlinks=True)
    for name in os.listdir(base.RECORDS):
        if not name.endswith('.pcap'):
            shutil.copy(f'{base.RECORDS}/{name}', target)
    return target
