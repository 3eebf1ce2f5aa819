# SPDX-License-Identifier: GPL-2.0-or-later
"""The double-run detector. It believes nobody who may be wrong: only the
frames that came out of the nodes' ports and the storage server's own log,
both with CLOCK_MONOTONIC.

Whoever a guest's output comes from owns the guest. Where output of an old
owner follows output of a new one, the guest ran twice."""

import os
import struct

from .base import LOGS, RECORDS, LabError, address, nodes, number_of


def frames_of(node, mac):
    """Times (us) of the guest's frames that left this node."""
    path = f'{RECORDS}/guest-{node}.pcap'
    wanted = bytes.fromhex(mac.replace(':', ''))
    times = []
    with open(path, 'rb') as file:
        header = file.read(24)
        if len(header) < 24 or header[:4] != b'\x4d\x3c\xb2\xa1':
            raise LabError(f'{path}: no record')
        while len(head := file.read(16)) == 16:
            sec, nsec, kept, _ = struct.unpack('<IIII', head)
            data = file.read(kept)
            if len(data) == kept and data[6:12] == wanted:
                times.append(sec * 1000000 + nsec // 1000)
    log = f'{LOGS}/record-{node}.log'
    if os.path.exists(log):
        with open(log, encoding='utf-8') as file:
            if 'frames lost' in file.read():
                raise LabError(f'{log}: the record has holes')
    return times


def all_frames(mac):
    """(time, node), in the order of time."""
    return sorted((time, node) for node in nodes()
                  for time in frames_of(node, mac))


def all_writes(export):
    """(time, node) of what changed the disk."""
    names = {address('storage', 10 + number_of(node)): node
             for node in nodes()}
    found = []
    with open(f'{RECORDS}/storage.log', encoding='utf-8') as file:
        for line in file:
            time, peer, name, action, _, _ = line.split()
            if name == export and action.startswith('write'):
                found.append((int(time), names.get(peer, peer)))
    return sorted(found)


def owners_seen(outputs):
    """[(node, first, last, count)] of each uninterrupted run of outputs."""
    runs = []
    for time, node in outputs:
        if runs and runs[-1][0] == node:
            runs[-1][2] = time
            runs[-1][3] += 1
        else:
            runs.append([node, time, time, 1])
    return [tuple(run) for run in runs]


def judge(outputs, owners):
    """(double runs, text). `owners`: the nodes that are known to have owned
    the guest, in order. An output of an earlier owner after one of a later
    owner is a double run; so is any of a node that never owned it. Records
    that don't show every owner prove nothing: that's an error."""
    runs = owners_seen(outputs)
    seen = [run[0] for run in runs]
    text = ', '.join(f'{node}: {count}' for node, _, _, count in runs)
    if seen == list(owners):
        return 0, text
    doubles = max(0, len(seen) - len(owners)) + \
        len(set(seen) - set(owners))
    if doubles == 0:
        raise LabError('the records don\'t show every owner: expected '
                       f'{" ".join(owners)}, found {text}')
    return doubles, text
