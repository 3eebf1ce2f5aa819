# SPDX-License-Identifier: GPL-2.0-or-later
"""The links. The "switch" is a namespace with one bridge per link; a node has
a veth into each. Nothing is made in the machine's own network namespace."""

import json
import os

from . import base, vm
from .base import LINKS, RECORDS, LabError, address


def namespace(name):
    pid = base.pid_of(name)
    if pid is None:
        raise LabError(f'{name} is not running')
    return ['nsenter', '-t', str(pid), '-n']


def ip_batch(where, lines, force=False):
    base.run(namespace(where) + ['ip'] + (['-force'] if force else []) +
             ['-batch', '-'], text='\n'.join(lines) + '\n', check=not force)


def start_namespaces():
    for name in ('switch', 'storage', 'client'):
        base.start(name, ['unshare', '--net', 'sleep', 'infinity'])
    own = os.readlink('/proc/self/ns/net')
    for name in ('switch', 'storage', 'client'):
        pid = base.pid_of(name)
        base.wait_for(
            f'namespace {name}',
            lambda pid=pid: os.readlink(f'/proc/{pid}/ns/net') != own, 20)
    no_ipv6('switch')
    ip_batch('switch', [
        f'link add br-{link} up type bridge stp_state 0 forward_delay 0 '
        'mcast_snooping 0' for link in LINKS])
    if base.settings().get('vm'):
        ip_batch('switch', ['link set lo up',
                            f'address add {vm.OUTSIDE}/32 dev lo'])
    plug('storage', 'storage', 'storage', 100)
    plug('client', 'client', 'guest', 200)
    record('client')
    ip_batch('client', [
        f'route replace {address("guest", 0)}/24 dev guest '
        f'src {address("guest", 200)} rto_min 20ms'])


def no_ipv6(where):
    base.run(namespace(where) + [
        'sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1',
        'net.ipv6.conf.default.disable_ipv6=1'], check=False)


def plug(where, owner, link, last):
    """One port: PORT in the switch, an interface named LINK in `where`."""
    port = port_name(owner, link)
    ip_batch('switch', [f'link del {port}'], force=True)
    ip_batch('switch', [
        f'link add {port} type veth peer name {link} '
        f'netns {base.pid_of(where)}',
        f'link set {port} master br-{link} up'])
    ip_batch(where, ['link set lo up',
                     f'address add {address(link, last)}/24 dev {link}',
                     f'link set {link} up'])


def port_name(node, link):
    return f'{node}-{link}'


def plug_node(node):
    """All ports of a node that was just switched on; recorded from the
    first frame."""
    number = base.number_of(node)
    pid = base.pid_of(node)
    make_ports(node, lambda link: f'link add {port_name(node, link)} '
               f'type veth peer name {link} netns {pid}')
    # as a real card's: the others' neighbour tables outlive a power cut
    lines = [f'link set {link} address 02:6b:6d:00:{index:02x}:{number:02x}'
             for index, link in enumerate(LINKS)]
    lines += ['link set lo up',
              'link add br-guest type bridge stp_state 0 forward_delay 0 '
              'mcast_snooping 0',
              'link set guest master br-guest up',
              f'address add {address("guest", 10 + number)}/24 dev br-guest',
              'link set br-guest up']
    for link in ('cluster', 'repl', 'storage'):
        lines += [f'address add {address(link, 10 + number)}/24 dev {link}',
                  f'link set {link} up']
    ip_batch(node, lines)
    start_relays(node)


def make_ports(node, how):
    unplug_node(node)
    lines = []
    for link in LINKS:
        lines += [how(link),
                  f'link set {port_name(node, link)} master br-{link}']
    ip_batch('switch', lines)
    record(node)
    ip_batch('switch', [f'link set {port_name(node, link)} up'
                        for link in LINKS if not is_cut(node, link)])


def start_relays(node):
    for link in LINKS:
        if os.path.exists(degrade_file(node, link)):
            start_relay(node, link)


def plug_vm(node):
    """All ports of a virtual machine that is about to be switched on."""
    door = vm.door_port(node)
    ip_batch('switch', [f'link del {door}'], force=True)
    make_ports(node, lambda link: f'tuntap add dev {port_name(node, link)} '
               'mode tap')
    ip_batch('switch', [f'tuntap add dev {door} mode tap',
                        f'link set {door} up',
                        f'route add {vm.door_address(node)} dev {door} '
                        f'src {vm.OUTSIDE}'])
    start_relays(node)


def unplug_node(node):
    for link in LINKS:
        base.end(f'relay-{node}-{link}')
    base.end(f'record-{node}')
    ip_batch('switch', [f'link del {port_name(node, link)}'
                        for link in LINKS], force=True)


def record(node):
    """Every frame of the node's port on the guests' link."""
    port = port_name(node, 'guest')
    base.start(f'record-{node}', namespace('switch') + [
        base.DATA + '/bin/record', port, f'{RECORDS}/guest-{node}.pcap'])


# ------------------------------------------------------------------- faults

def cut_file(node, link):
    return f'{base.RUN}/cut-{node}-{link}'


def degrade_file(node, link):
    return f'{base.RUN}/degrade-{node}-{link}'


def is_cut(node, link):
    return os.path.exists(cut_file(node, link))


def cut(node, link):
    with base.alone_with(node):
        with open(cut_file(node, link), 'w', encoding='utf-8'):
            pass
        if base.pid_of(node):
            ip_batch('switch', [f'link set {port_name(node, link)} down'])
            vm.set_carrier(node, link, False)


def heal(node, link):
    with base.alone_with(node):
        for path in (cut_file(node, link), degrade_file(node, link)):
            if os.path.exists(path):
                os.unlink(path)
        if not base.pid_of(node):
            return
        if base.pid_of(f'relay-{node}-{link}'):
            base.end(f'relay-{node}-{link}')
            ip_batch('switch', [
                f'link set {port_name(node, link)} master br-{link}'])
        ip_batch('switch', [f'link set {port_name(node, link)} up'])
        vm.set_carrier(node, link, True)


DEGRADE = {'delay': (0, 10000), 'loss': (0, 100), 'loss_out': (0, 100),
           'loss_in': (0, 100), 'dup': (0, 100),
           'reorder': (0, 100)}


def degrade(node, link, words):
    values = {}
    for word in words:
        name, _, value = word.partition('=')
        try:
            number = float(value)
            low, high = DEGRADE[name]
            if not low <= number <= high:
                raise ValueError
        except (KeyError, ValueError):
            raise LabError(f'degrade: {word}: not delay=MS, loss=PCT, '
                           'loss_out=PCT, loss_in=PCT, dup=PCT or '
                           'reorder=PCT') from None
        values[name] = number
    if not values:
        raise LabError('degrade: say what: delay=MS loss=PCT '
                       'loss_out=PCT loss_in=PCT dup=PCT reorder=PCT')
    with base.alone_with(node):
        base.write_atomically(degrade_file(node, link), json.dumps(values))
        if base.pid_of(node):
            start_relay(node, link)


def start_relay(node, link):
    """The relay takes the port's place in the bridge."""
    with open(degrade_file(node, link), encoding='utf-8') as file:
        values = json.load(file)
    name, port, tap = f'relay-{node}-{link}', port_name(node, link), \
        f'r{base.number_of(node)}-{link}'
    base.end(name)
    base.start(name, namespace('switch') + [
        base.DATA + '/bin/relay', port, tap] +
        [f'{key}={value:g}' for key, value in values.items()])
    base.wait_for(f'relay of {port}', lambda: base.run(
        namespace('switch') + ['ip', 'link', 'show', tap],
        check=False).returncode == 0, 20)
    ip_batch('switch', [f'link set {port} nomaster',
                        f'link set {tap} master br-{link} up'])
