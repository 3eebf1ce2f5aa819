# SPDX-License-Identifier: GPL-2.0-or-later
"""What happened when, from records that were made by different programs on
the same clock."""

from kmrlab import base


def count_lines(path):
    try:
        with open(path, 'rb') as file:
            return sum(chunk.count(b'\n')
                       for chunk in iter(lambda: file.read(1 << 20), b''))
    except FileNotFoundError:
        return 0


def reply_times(path):
    with open(path, encoding='utf-8') as file:
        lines = file.read().split('\n')[:-1]  # the last is being written
    return [int(line.split()[0]) for line in lines if line]


def blackout(path, at):
    """(ms, first answer after it): the longest time between two replies,
    over all connections, that spans the fault or begins within 10 s of it."""
    longest, end, before = 0, None, None
    for now in reply_times(path):
        if before is not None and now >= at and before <= at + 10000000 and \
                now - before > longest:
            longest, end = now - before, now
        before = now
    if end is None:
        raise base.LabError('no answer after the fault')
    return longest / 1000, end


def power_time(text, after=0):
    """When the machine room wrote this last; None if never after `after`."""
    found = None
    with open(base.RECORDS + '/power.log', encoding='utf-8') as file:
        for line in file:
            time, _, what = line.strip().partition(' ')
            if what == text and int(time) >= after:
                found = int(time)
    return found


def of_fault(events, at, first, primary, with_fencing):
    """Steps of one failover, ms since the fault."""
    after = [item for item in events if item['mono_us'] >= at]
    steps = [(at, 'fault', primary)]

    def add(name, item):
        if item:
            steps.append((item['mono_us'], name,
                          f'{item["node"]}: {item["from"]} -> {item["to"]} '
                          f'({item["reason"]})'))

    def find(match):
        return next((item for item in after if match(item)), None)

    add('noticed', find(lambda item: True))
    if with_fencing:
        time = power_time(f'{primary} reboot confirmed', at)
        if time is None:
            raise base.LabError(f'{primary} was not fenced')
        steps.append((time, 'fenced', f'{primary} is certainly off'))
    decided = find(lambda item: item['to'] == 'TAKING_OVER')
    resumed = find(lambda item: item['from'] == 'TAKING_OVER' and
                   item['node'] != primary)
    if not decided or not resumed:
        raise base.LabError('kemarid\'s events tell of no takeover')
    add('decided', decided)
    add('resumed', resumed)
    steps.append((first, 'first answer', 'at the client'))
    return [{'step': name, 'ms': round((time - at) / 1000, 1),
             'mono_us': time, 'text': text}
            for time, name, text in sorted(steps, key=lambda item: item[0])]
