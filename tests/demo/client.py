# SPDX-License-Identifier: GPL-2.0-or-later
"""The witness's client of one VM of the lab, outside the nodes."""

import contextlib
import json
import os
import signal
import subprocess

from kmrlab import base
import timeline

PORT = '7000'


def find_client():
    build = os.environ.get('KEMARI_BUILD')
    if not build:
        raise base.LabError('KEMARI_BUILD is not set; use ./quickstart demo')
    program = build + '/tests/guest/client'
    if not os.access(program, os.X_OK):
        raise base.LabError(f'{program} is not built')
    return program


def mac(vm):
    return f'52:54:00:4b:6d:{int(vm.removeprefix("vm")):02x}'


class Client:
    """Its files are in the lab's records."""

    def __init__(self, program, vm='vm0', complaints=None, connections=4,
                 interval_ms=40):
        self.program = program
        self.vm = vm
        self.host = base.address('guest', 50 + int(vm.removeprefix('vm')))
        self.log = f'{base.RECORDS}/client-{vm}.log'
        self.json = f'{base.RECORDS}/client-{vm}.json'
        self.complaints = complaints
        self.load = ['--connections', str(connections),
                     '--interval-ms', str(interval_ms)]
        self.child = None

    def launch(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log)  # an earlier one's
        err = open(self.complaints, 'ab') if self.complaints else None
        try:
            self.child = subprocess.Popen(
                [base.HERE + '/lab', 'client', self.program,
                 '--host', self.host, '--port', PORT] + self.load +
                ['--ledger', f'{base.RECORDS}/client-{self.vm}.ledger',
                 '--log', self.log, '--json', self.json],
                stdin=subprocess.DEVNULL, stderr=err)
        finally:
            if err:
                err.close()
        base.remember(f'client-{self.vm}', self.child.pid)

    def start(self):
        print(f'$ client --host {self.host} --port {PORT} '
              + ' '.join(self.load), flush=True)
        self.launch()
        base.wait_for('the first answers', lambda: self.answers() > 20, 20,
                      0.1)

    def alive(self):
        if self.child.poll() is not None:
            raise base.LabError(f'the client of {self.vm} ended by itself, '
                                f'code {self.child.returncode}')

    def answers(self):
        self.alive()
        return timeline.count_lines(self.log)

    def answers_since(self, at):
        """Those that came when no old primary could have sent them."""
        self.alive()
        return sum(1 for now in timeline.reply_times(self.log)
                   if now > at + 500000)

    def tell_to_stop(self):
        self.child.send_signal(signal.SIGTERM)

    def verdict(self):
        try:
            self.child.wait(90)
        except subprocess.TimeoutExpired:
            raise base.LabError('the client does not come to an end') \
                from None
        base.forget(f'client-{self.vm}')
        with open(self.json, encoding='utf-8') as file:
            return json.load(file)

    def stop(self):
        """Has it check the whole ledger; its verdict."""
        self.tell_to_stop()
        return self.verdict()
