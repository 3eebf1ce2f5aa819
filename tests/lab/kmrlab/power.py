# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine room: the process outside the nodes that switches them on and
off. Fence devices and `lab kill` talk to its socket, one line each way."""

import os
import signal
import socketserver
import subprocess
import threading
import time

from . import base, net, vm
from .base import DATA, POWER, RECORDS, LabError

SOCKET = POWER + '/socket'


class Room:
    """Orders for one node come one after the other."""

    def __init__(self):
        self.log_lock = threading.Lock()

    def log(self, text):
        with self.log_lock, open(RECORDS + '/power.log', 'a',
                                 encoding='utf-8') as file:
            file.write(f'{time.monotonic_ns() // 1000} {text}\n')

    def off(self, node):
        """Pulls the plug. Returns only when every process of the node is
        dead: its pid 1 can't be reaped before the rest of its pid
        namespace."""
        if base.pid_of(node) is None:
            return
        self.log(f'{node} off')
        if not base.end(node):
            raise LabError(f'{node}: does not die')
        net.unplug_node(node)
        self.log(f'{node} is off')

    def on(self, node):
        if base.pid_of(node):
            return
        self.log(f'{node} on')
        if vm.is_vm(node):
            net.plug_vm(node)
            vm.start(node, environment(node), net.namespace('switch'),
                     net.port_name)
            for link in base.LINKS:
                if net.is_cut(node, link):
                    base.wait_for(f'{node}\'s monitor', lambda:
                                  os.path.exists(vm.qmp_path(node)), 20)
                    vm.set_carrier(node, link, False)
            return
        report = f'{base.RUN}/{node}.pid'
        if os.path.exists(report):
            os.unlink(report)
        folder = f'{DATA}/nodes/{node}'
        os.makedirs(folder, exist_ok=True)
        with open(f'{base.LOGS}/{node}.log', 'ab') as log:
            child = subprocess.Popen(
                ['unshare', '--mount', '--uts', '--ipc', '--net', '--pid',
                 '--fork', '--kill-child', '--propagation', 'private',
                 '/bin/bash', base.HERE + '/node/init', node],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd='/',
                env=environment(node), start_new_session=True)
        threading.Thread(target=child.wait, daemon=True).start()
        base.wait_for(f'{node}: pid 1', lambda: os.path.exists(report), 20)
        with open(report, encoding='utf-8') as file:
            base.remember(node, int(file.read()))
        net.plug_node(node)
        with open(f'{POWER}/{node}.go', 'w', encoding='utf-8'):
            pass

    def do(self, line):
        words = line.split()
        if words == ['list']:
            return ' '.join(base.nodes())
        if len(words) != 2 or words[1] not in base.nodes():
            raise LabError(f'not an order: {line.strip()}')
        action, node = words
        with base.alone_with(node):
            if action == 'status':
                return 'on' if base.pid_of(node) else 'off'
            if action in ('off', 'reboot'):
                self.off(node)
            if action == 'on':
                self.on(node)
            self.log(f'{node} {action} confirmed')
        if action == 'reboot':
            # off is what the caller must know; on comes by itself
            threading.Thread(target=self.later_on, args=(node,)).start()
        return 'done'

    def later_on(self, node):
        with base.alone_with(node):
            try:
                self.on(node)
            except (LabError, OSError) as error:
                self.log(f'{node} on: failed: {error}')
                self.off(node)  # half on, it could never be booted


def environment(node):
    chosen = base.settings()
    return {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:'
                    '/sbin:/bin',
            'HOME': '/root', 'LC_ALL': 'C.UTF-8', 'TERM': 'linux',
            'LAB_HERE': base.HERE, 'LAB_RUN': base.RUN, 'LAB_DATA': DATA,
            'LAB_NODE': node, 'LAB_NUMBER': str(base.number_of(node)),
            'LAB_NODES': str(chosen['nodes']),
            'LAB_TOKEN': '5000' if chosen.get('vm') else '1000',
            'LAB_KERNEL': chosen.get('kernel', ''),
            'LAB_STAGE': chosen['stage'], 'LAB_QEMU': chosen['qemu'],
            'LAB_GUEST': chosen['guest'], 'LAB_SHARE': chosen['share']}


def start_storage():
    """nbdkit ends with the thread that started it: so that is the main thread
    of the machine room."""
    os.makedirs(DATA + '/disks')
    base.start('nbdkit', net.namespace('storage') + [
        'nbdkit', '-f', '-i', base.address('storage', 100), '-p', '10809',
        '--threads', '16', DATA + '/bin/kmrdisk.so', f'dir={DATA}/disks',
        f'log={RECORDS}/storage.log', 'size=64M'])
    # a socket that listens: state 0A, port 10809 = 2A39
    pid = base.pid_of('storage')

    def listens():
        with open(f'/proc/{pid}/net/tcp', encoding='utf-8') as file:
            return any(':2A39' in line and ' 0A ' in line for line in file)
    base.wait_for('the storage server', listens, 20)


def door(node):
    """The command that enters a node."""
    pid = base.pid_of(node)
    if pid is None:
        raise LabError(f'{node} is off')
    if vm.is_vm(node):
        return vm.door(node)
    return ['nsenter', '-t', str(pid), '-m', '-u', '-i', '-n', '-p', '-r',
            '-w']


def visitor(node):
    """The environment of a command in a node."""
    env = {key: value for key, value in environment(node).items()
           if not key.startswith('LAB_')}
    env['TERM'] = os.environ.get('TERM', 'linux')
    return env


class Handler(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self):
        line = self.rfile.readline(200).decode(errors='replace')
        try:
            answer = self.server.room.do(line)
        except (LabError, OSError) as error:
            answer = f'error: {error}'
        self.wfile.write((answer + '\n').encode())


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 32


class OuterServer(socketserver.ThreadingTCPServer):
    """The same for the fence agents in virtual machines."""
    daemon_threads = True

    def __init__(self, listener, handler):
        super().__init__(listener.getsockname(), handler,
                         bind_and_activate=False)
        self.socket.close()
        self.socket = listener


def serve():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    outer = OuterServer(vm.room_socket(), Handler) \
        if base.settings().get('vm') else None
    start_storage()
    with Server(SOCKET, Handler) as server:
        server.room = Room()
        if outer:
            outer.room = server.room
            threading.Thread(target=outer.serve_forever,
                             daemon=True).start()
        server.serve_forever()


def order(text):
    """Gives an order to the machine room; raises when it isn't done."""
    import socket
    with socket.socket(socket.AF_UNIX) as conn:
        conn.settimeout(30)
        try:
            conn.connect(SOCKET)
            conn.sendall((text + '\n').encode())
            answer = conn.makefile().readline().strip()
        except OSError as error:
            raise LabError(f'the machine room does not answer: {error}') \
                from None
    if not answer or answer.startswith('error'):
        raise LabError(answer or 'the machine room hung up')
    return answer
