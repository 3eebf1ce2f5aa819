# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole lab up and down."""

import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

from . import base, net, power, vm
from .base import DATA, HERE, LOGS, PIDS, POWER, RECORDS, RUN, LabError

NEEDED = ['unshare', 'nsenter', 'ip', 'sysctl', 'cc', 'nbdkit', 'pcs',
          '/usr/sbin/corosync', '/usr/sbin/pacemakerd', '/usr/sbin/libvirtd']
PROGRAMS = {
    'relay': ['relay/relay.c', 'relay/queue.c'],
    'record': ['relay/record.c'],
    'kmrdisk.so': ['-fPIC', '-shared', 'storage/kmrdisk.c'],
}


def check_machine():
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        raise LabError(f'missing: {" ".join(missing)} (./quickstart build '
                       'installs what is needed)')
    if not os.path.exists('/usr/include/nbdkit-plugin.h'):
        raise LabError('missing: the package nbdkit-plugin-dev')


def resolve_settings(count, virtual):
    """Where the parts are. Without them the lab is a cluster without
    Kemari."""
    cache = os.environ.get('KEMARI_CACHE', '/var/cache/kemari')
    stage = os.environ.get('KEMARI_STAGE')
    if stage is None and os.path.isdir(cache + '/stage'):
        stage = cache + '/stage'
    qemu = os.environ.get('KEMARI_QEMU')
    if not qemu:
        done = base.run([HERE + '/../../qemu-patches/build', '--path'],
                        check=False)
        qemu = done.stdout.strip() if done.returncode == 0 else \
            '/usr/bin/qemu-system-x86_64'
    guest = os.environ.get('KEMARI_GUEST', cache + '/guest')
    if stage and not os.path.isdir(stage + '/usr'):
        raise LabError(f'KEMARI_STAGE: {stage}/usr is not there')
    if not os.access(qemu, os.X_OK):
        raise LabError(f'KEMARI_QEMU: no such program: {qemu}')
    share = {cache, os.path.dirname(qemu),
             os.path.dirname(os.path.realpath(qemu)), guest, HERE}
    if stage:
        stage = os.path.realpath(stage)
        share.add(stage)
    # only what an overlay would hide; the shortest of nested ones
    share = sorted(path for path in share
                   if path.startswith('/var/') and os.path.isdir(path))
    share = [path for path in share
             if not any(path.startswith(other + '/') for other in share)]
    return {'nodes': count, 'stage': stage or '', 'qemu': qemu,
            'guest': guest, 'share': ' '.join(share), 'pid': os.getpid(),
            'vm': virtual, 'kernel': vm.kernel() if virtual else '',
            'vm_cpu': os.environ.get('KEMARI_VM_CPU', 'Skylake-Server')}


def build_programs():
    os.makedirs(DATA + '/bin')
    jobs = []
    for name, sources in PROGRAMS.items():
        words = [word if word.startswith('-') else f'{HERE}/{word}'
                 for word in sources]
        jobs.append((name, subprocess.Popen(
            ['cc', '-std=c11', '-D_GNU_SOURCE', '-O2', '-Wall', '-Wextra',
             '-o', f'{DATA}/bin/{name}'] + words,
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)))
    for name, job in jobs:
        error = job.communicate()[1]
        if job.returncode != 0:
            raise LabError(f'{name}: {error}')


def up(count, virtual=()):
    check_machine()
    chosen = resolve_settings(count, list(virtual))
    try:
        os.mkdir(RUN)
    except FileExistsError:
        raise LabError(f'a lab is up already, or its rest is there: {RUN} '
                       '(lab down)') from None
    began = time.monotonic()
    try:
        shutil.rmtree(DATA, ignore_errors=True)
        for path in (PIDS, POWER, LOGS, RECORDS, DATA + '/nodes'):
            os.makedirs(path)
        base.write_atomically(RUN + '/settings.json', json.dumps(chosen))
        build_programs()
        net.start_namespaces()
        base.start('machine-room', [sys.executable, HERE + '/lab',
                                    'machine-room'])
        base.wait_for('the machine room',
                      lambda: os.path.exists(power.SOCKET), 30)
        # virtual machines first: they are slow, and Pacemaker fences at
        # once who is missing when it starts
        for node in chosen['vm']:
            power.order(f'on {node}')
        for node in chosen['vm']:
            wait_for_vm(node)
        for node in base.nodes():
            power.order(f'on {node}')
        wait_for_cluster()
    except BaseException:
        if os.environ.get('KEMARI_LAB_KEEP') is None:
            down()
        raise
    base.say(f'lab: {count} nodes, quorate, in '
             f'{time.monotonic() - began:.1f} s')


def in_node(node, *words):
    return base.run(power.door(node) + ['--'] + list(words), check=False,
                    env=power.visitor(node))


def view(node):
    """Pacemaker's view from a node, as XML; None while it has none."""
    done = in_node(node, 'crm_mon', '-1', '--output-as=xml')
    try:
        return ElementTree.fromstring(done.stdout)
    except ElementTree.ParseError:
        return None


def is_complete(node):
    root = view(node)
    if root is None:
        return False
    dc = root.find('./summary/current_dc')
    if dc is None or dc.get('with_quorum') != 'true':
        return False
    online = [item for item in root.findall('./nodes/node')
              if item.get('online') == 'true' and
              item.get('pending') == 'false']
    fence = root.find("./resources/resource[@id='fence-lab']")
    return len(online) == len(base.nodes()) and fence is not None and \
        fence.get('active') == 'true' and fence.get('failed') == 'false'


def wait_for_vm(node):
    """Its Pacemaker is started, so its corosync is ready."""
    base.wait_for(f'{node}, a virtual machine', lambda: in_node(
        node, 'test', '-e', '/run/lab/pacemaker').returncode == 0, 240, 1)


def wait_for_cluster():
    try:
        # a virtual machine is slow, and then each look at it costs it time
        limit, pause = (300, 1) if base.settings().get('vm') else (90, 0.2)
        base.wait_for('the cluster', lambda: is_complete('node1'), limit,
                      pause)
    except LabError:
        base.say(in_node('node1', 'crm_mon', '-1').stdout)
        raise


def down():
    # the machine room first: it would boot nodes again
    base.end('machine-room')
    names = base.remembered()
    order = [n for n in names if n.startswith('node')] + \
        [n for n in names if not n.startswith('node')]
    stuck = [name for name in order if not base.end(name)]
    if stuck:
        raise LabError(f'does not die: {" ".join(stuck)}')
    for path in (DATA, RUN):
        shutil.rmtree(path, ignore_errors=True)
        if os.path.lexists(path):
            raise LabError(f'{path} can\'t be removed')


def status():
    chosen = base.settings()
    print(f'emulator {chosen["qemu"]}')
    print(f'kemari   {chosen["stage"] or "not installed"}')
    print(f'guest    {chosen["guest"]}')
    for node in base.nodes():
        state = 'on' if base.pid_of(node) else 'off'
        trouble = [f'{link} cut' for link in base.LINKS
                   if net.is_cut(node, link)]
        trouble += [f'{link} degraded' for link in base.LINKS
                    if os.path.exists(net.degrade_file(node, link))]
        if vm.is_vm(node):
            state += ' (virtual machine)'
        print(f'{node}    {state} {", ".join(trouble)}'.rstrip())
    for name in ('machine-room', 'nbdkit'):
        if base.pid_of(name) is None:
            print(f'{name} is dead')
            return 1
    first = next((n for n in base.nodes() if base.pid_of(n)), None)
    if first:
        print(in_node(first, 'crm_mon', '-1A').stdout, end='')
    return 0
