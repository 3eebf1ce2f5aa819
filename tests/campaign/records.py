# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's records, read as they grow: each byte once, and what was judged
is given back to the disk."""

import datetime
import os
import re
import struct
import subprocess
import time

from kmrlab import base
from client import mac

LINE = re.compile(r'^(\w{3} +\d+ \d\d:\d\d:\d\d\.\d{3}) \w+ +pair (\w+): '
                  r'(\w+) -> (\w+) ')


class Tail:
    """A growing file. NEW() is what came since the last call."""

    def __init__(self, path):
        self.path = path
        self.at = 0

    def new(self):
        try:
            with open(self.path, 'rb') as file:
                file.seek(self.at)
                return file.read()
        except FileNotFoundError:
            return b''

    def lines(self):
        data = self.new()
        data = data[:data.rfind(b'\n') + 1]
        self.at += len(data)
        return data.decode(errors='replace').splitlines()

    def forget(self):
        """The blocks that were read; the writers append."""
        done = self.at & ~0xfff
        if done:
            subprocess.run(['fallocate', '--punch-hole', '--offset', '0',
                            '--length', str(done), self.path], check=True)


class Frames(Tail):
    """Of one node's port."""

    def take(self, vms):
        """(time in us, vm) of each frame that a guest sent."""
        data = self.new()
        at = 24 if self.at == 0 else 0
        if self.at == 0 and data[:4] not in (b'', b'\x4d\x3c\xb2\xa1'):
            raise base.LabError(f'{self.path}: no record')
        found = []
        while at + 16 <= len(data):
            # a recorder that was started anew on the same file
            if data[at:at + 4] == b'\x4d\x3c\xb2\xa1':
                at += 24
                continue
            sec, nsec, kept, _ = struct.unpack_from('<IIII', data, at)
            if at + 16 + kept > len(data):
                break
            vm = vms.get(data[at + 22:at + 28])
            if vm:
                found.append((sec * 1000000 + nsec // 1000, vm))
            at += 16 + kept
        self.at += min(at, len(data))
        return found


class Answers(Tail):
    """Of one client; the last one before FROM is kept."""

    def __init__(self, path):
        super().__init__(path)
        self.times = []

    def read(self):
        self.times += [int(line.split()[0]) for line in self.lines() if line]
        return self.times

    def since(self, at):
        return sum(1 for now in self.read() if now > at)

    def drop_before(self, at):
        older = [now for now in self.read() if now < at][-1:]
        self.times = older + [now for now in self.times if now >= at]

    def longest(self, at, end):
        """ms: the longest time between two answers that ends after AT and
        begins before END."""
        longest = 0
        for before, now in zip(self.read(), self.times[1:]):
            if now >= at and before <= end:
                longest = max(longest, now - before)
        return longest / 1000


class Owners:
    """Who ran each VM from when on: kemarid's own words, which outlive its
    node's power cut."""

    def __init__(self):
        self.tails = {node: Tail(f'{base.DATA}/nodes/{node}/var/log/'
                                 'kemarid.out') for node in base.nodes()}
        self.found = {}  # vm: [(us, node)]
        self.offset = time.time() - time.monotonic()

    def mono_us(self, text):
        when = datetime.datetime.strptime(
            f'{datetime.datetime.now().year} {text}', '%Y %b %d %H:%M:%S.%f')
        return int((when.timestamp() - self.offset) * 1000000)

    def read(self):
        for node, tail in self.tails.items():
            for line in tail.lines():
                match = LINE.match(line)
                if match and match.group(4) in ('TAKING_OVER', 'BOOTING'):
                    self.found.setdefault(match.group(2), []).append(
                        (self.mono_us(match.group(1)), node))
        for turns in self.found.values():
            turns.sort()


class Detector:
    """Whoever a guest's output comes from owns the guest. Each time another
    node begins to send or to write, it must be the one that had been made the
    owner last. Two that ran at once would take turns without that."""

    SLACK_US = 5000  # the log's time is in milliseconds, of another clock

    def __init__(self, vms):
        self.vms = {bytes.fromhex(mac(vm).replace(':', '')): vm for vm in vms}
        self.frames = {node: Frames(f'{base.RECORDS}/guest-{node}.pcap')
                       for node in base.nodes()}
        self.storage = Tail(f'{base.RECORDS}/storage.log')
        self.owners = Owners()
        self.last = {}  # (what, vm): (node, us)
        self.seen = 0

    def outputs(self):
        found = []
        for node, tail in self.frames.items():
            log = f'{base.LOGS}/record-{node}.log'
            if os.path.exists(log):
                with open(log, encoding='utf-8') as file:
                    if 'frames lost' in file.read():
                        raise base.LabError(f'{log}: the record has holes')
            found += [(at, node, 'frames', vm)
                      for at, vm in tail.take(self.vms)]
        names = {base.address('storage', 10 + base.number_of(node)): node
                 for node in base.nodes()}
        for line in self.storage.lines():
            at, peer, name, action, _, _ = line.split()
            if action.startswith('write'):
                found.append((int(at), names.get(peer, peer), 'writes', name))
        return sorted(found)

    def owner(self, vm, at):
        turns = [node for began, node in self.owners.found.get(vm, [])
                 if began <= at + self.SLACK_US]
        return turns[-1] if turns else None

    def judge(self):
        """Texts of what two owners did; [] is what is wanted."""
        self.owners.read()
        doubles = []
        outputs = self.outputs()
        for at, node, what, vm in outputs:
            before = self.last.get((what, vm))
            if (not before or before[0] != node) and \
                    self.owner(vm, at) != node:
                doubles.append(f'{vm}: {what} of {node} at {at}, owner '
                               f'{self.owner(vm, at)}, before: {before}')
            self.last[(what, vm)] = (node, at)
        if not outputs:
            raise base.LabError('the records show no output at all')
        self.seen += len(outputs)
        for tail in [*self.frames.values(), self.storage]:
            tail.forget()
        return doubles
