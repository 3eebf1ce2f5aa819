# SPDX-License-Identifier: GPL-2.0-or-later
"""A node that is a virtual machine: a kernel of its own, for what namespaces
can't do. Its ports are TAPs in the switch with the names that a node's ports
have, so that faults and records are the same; a fifth link, the door, is
for us alone."""

import ctypes
import json
import os
import shlex
import socket
import threading

from . import base
from .base import DATA, HERE, LINKS, LOGS, RUN, LabError

QEMU = '/usr/bin/qemu-system-x86_64'
DOOR = 9            # 10.77.9.0/24
OUTSIDE = '10.77.9.1'
PORT = 77
CLONE_NEWNET = 0x40000000


def is_vm(node):
    return node in base.settings().get('vm', [])


def kernel():
    """The folder that vm/build makes."""
    done = base.run([HERE + '/vm/build'], check=False)
    if done.returncode != 0:
        raise LabError(done.stderr.strip() or 'vm/build failed')
    return done.stdout.strip()


def mac(link, node):
    return f'52:54:00:6b:{link:02x}:{base.number_of(node):02x}'


def door_port(node):
    return f'{node}-door'


def door_address(node):
    return f'10.77.{DOOR}.{10 + base.number_of(node)}'


def door(node):
    """The command that enters such a node."""
    return ['nsenter', '-t', str(base.pid_of('switch')), '-n',
            '/usr/bin/python3', '-I', HERE + '/vm/door', door_address(node)]


def console(node):
    return f'{LOGS}/{node}-console.log'


def qmp_path(node):
    return f'{RUN}/{node}.qmp'


def net_arguments(node, port_name):
    words = []
    ports = [(number, port_name(node, link)) for link, number in
             LINKS.items()] + [(DOOR, door_port(node))]
    for number, port in ports:
        # behind root ports with error reporting: a place for PCIe errors
        words += ['-netdev', f'tap,id=net{number},ifname={port},script=no,'
                  'downscript=no',
                  '-device', f'pcie-root-port,id=port{number},'
                  f'chassis={number}',
                  '-device', f'virtio-net-pci,id=nic{number},aer=on,'
                  f'bus=port{number},netdev=net{number},romfile=,'
                  f'mac={mac(number, node)}']
    return words


def machine(name, cpu, vcpus, folder, disk, env_file, log, words):
    """What every such QEMU has. FOLDER: kernel() made it; LOG: the console's;
    WORDS: for the kernel."""
    return [
        QEMU, '-name', name, '-no-user-config', '-nodefaults',
        '-display', 'none', '-machine', 'q35',
        # Emulating an emulator fills what it may keep of translated code; then
        # all is translated anew, and an answer takes 10 ms more. The most there
        # is, in MiB; used only when it is filled.
        '-accel', 'tcg,tb-size=2047',
        '-cpu', cpu, '-smp', str(vcpus), '-m', '1536',
        '-kernel', folder + '/vmlinuz', '-initrd', folder + '/initrd',
        '-append', f'console=ttyS0 quiet mitigations=off {words} '
                   f'lab.env={env_file}',
        # it outlives a power cut: a panic is read there
        '-chardev', f'file,id=console,path={log},append=on',
        '-serial', 'chardev:console',
        # what was written is kept when the power is cut, what the node's
        # kernel had not yet written is lost: as with a disk
        '-drive', f'file={disk},if=none,id=disk,format=raw,cache=writeback',
        '-device', 'virtio-blk-pci,drive=disk',
        '-fsdev', 'local,id=machine,path=/,security_model=none,readonly=on,'
                  'multidevs=remap',
        '-device', 'virtio-9p-pci,fsdev=machine,mount_tag=machine',
        '-device', 'virtio-rng-pci',
    ]


def arguments(node, disk, env_file, port_name):
    chosen = base.settings()
    return machine(node, chosen['vm_cpu'], 2, chosen['kernel'], disk,
                   env_file, console(node), 'panic=0') + [
        '-qmp', f'unix:{qmp_path(node)},server=on,wait=off',
        '-device', 'i6300esb', '-action', 'watchdog=reset',
    ] + net_arguments(node, port_name)


def make_disk(path):
    with open(path + '.new', 'wb') as file:
        file.truncate(4 << 30)
    base.run(['mke2fs', '-q', '-F', '-t', 'ext4', path + '.new'])
    os.rename(path + '.new', path)


def write_environment(path, env):
    base.write_atomically(path, ''.join(
        f'{key}={shlex.quote(value)}\n' for key, value in env.items()))


def start(node, env, switch, port_name):
    """Switches it on; its ports are there. The node's process is QEMU:
    its death is the power cut."""
    folder = f'{DATA}/nodes/{node}'
    os.makedirs(folder, exist_ok=True)
    disk = folder + '/disk'
    if not os.path.exists(disk):
        make_disk(disk)
    write_environment(folder + '/env', env)
    child = base.start(node, switch + arguments(node, disk, folder + '/env',
                                                port_name))
    threading.Thread(target=child.wait, daemon=True).start()


# ------------------------------------------------------------ the machine room

def room_socket():
    """A listening socket in the switch, for the fence agents in such nodes.
    To be called before other threads are there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(handle):
        if libc.setns(handle, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), 'setns')
    own = os.open('/proc/self/ns/net', os.O_RDONLY)
    other = os.open(f'/proc/{base.pid_of("switch")}/ns/net', os.O_RDONLY)
    try:
        enter(other)
        try:
            return socket.create_server((OUTSIDE, PORT), backlog=32)
        finally:
            enter(own)
    finally:
        os.close(own)
        os.close(other)


# ------------------------------------------------------------------- monitor

def qmp(node, command, **how):
    """One command to the node's QEMU; what it returned."""
    with socket.socket(socket.AF_UNIX) as conn:
        conn.settimeout(10)
        try:
            conn.connect(qmp_path(node))
            stream = conn.makefile('rw')
            stream.readline()
            for name, values in (('qmp_capabilities', {}), (command, how)):
                stream.write(json.dumps({'execute': name,
                                         'arguments': values}) + '\n')
                stream.flush()
                while True:
                    answer = json.loads(stream.readline() or '{"error":'
                                        '{"desc": "it hung up"}}')
                    if 'error' in answer:
                        raise LabError(f'{node}: {name}: '
                                       f'{answer["error"]["desc"]}')
                    if 'return' in answer:
                        break
        except OSError as error:
            raise LabError(f'{node}: its monitor does not answer: '
                           f'{error}') from None
    return answer['return']


def monitor(node, words):
    """A command of the human monitor: mce, nmi, pcie_aer_inject_error..."""
    if not is_vm(node):
        raise LabError(f'{node} is not a virtual machine')
    return qmp(node, 'human-monitor-command',
               **{'command-line': ' '.join(words)})


def set_carrier(node, link, up):
    """A TAP that is down is no cable pulled: that must be told."""
    if is_vm(node) and base.pid_of(node):
        qmp(node, 'set_link', name=f'nic{LINKS[link]}', up=up)
