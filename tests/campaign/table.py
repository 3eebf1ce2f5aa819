# SPDX-License-Identifier: GPL-2.0-or-later
"""What a campaign's results come to."""

COUNTS = ('lost', 'duplicated', 'resets', 'double_runs',
          'unexplained_failed_actions', 'stuck', 'not_good')


def spread(values):
    values = sorted(values)
    if not values:
        return {'count': 0}
    return {'count': len(values),
            'median': round(values[len(values) // 2], 1),
            'p95': round(values[min(len(values) - 1,
                                    len(values) * 95 // 100)], 1),
            'max': round(values[-1], 1)}


def kind_of(result):
    return result['kinds'][0] if len(result['kinds']) == 1 else \
        'two, overlapping'


def summary(state):
    """Adds the figures to the state that is the --json file."""
    blackouts, protected, others = {}, {}, []
    longest = []
    for result in state['results']:
        kind = kind_of(result)
        for vm, ms in result['blackout_ms'].items():
            if vm not in result['concerned']:
                others.append(ms)
                continue
            blackouts.setdefault(kind, []).append(ms)
            longest.append({'ms': ms, 'vm': vm, 'fault': result['number'],
                            'what': result['text']})
        protected.setdefault(kind, []).append(
            max(result['protected_s'].values()))
    state['blackout_ms'] = {kind: spread(values)
                            for kind, values in sorted(blackouts.items())}
    state['blackout_ms']['all'] = spread(sum(blackouts.values(), []))
    state['blackout_ms']['VMs that were not concerned'] = spread(others)
    state['protected_s'] = {kind: spread(values)
                            for kind, values in sorted(protected.items())}
    state['longest'] = sorted(longest, key=lambda item: -item['ms'])[:10]
    state['done'] = len(state['results'])
    return state


def table(state):
    """Markdown."""
    lines = [
        f'{state["done"]} faults of {state["faults"]}, seed {state["seed"]}, '
        f'revision {state.get("revision", "unknown")}; '
        f'{sum(len(each["kinds"]) > 1 for each in state["results"])} of them '
        'double, the second one at once or within the recovery of the first.',
        '', '| | |', '|---|---|']
    lines += [f'| {name.replace("_", " ")} | {state[name]} |'
              for name in COUNTS]
    lines += [f'| requests acknowledged | {state["acknowledged"]} |',
              f'| outputs judged | {state["outputs"]} |', '',
              '| kind | blackouts | median ms | p95 | max | '
              'protected again: median s | max |',
              '|---|---|---|---|---|---|---|']
    for kind, now in state['blackout_ms'].items():
        if not now['count']:
            continue
        again = state['protected_s'].get(kind, {})
        lines.append(f'| {kind} | {now["count"]} | {now["median"]} | '
                     f'{now["p95"]} | {now["max"]} | '
                     f'{again.get("median", "")} | {again.get("max", "")} |')
    lines += ['', 'The longest:', '', '| ms | VM | fault | what |',
              '|---|---|---|---|']
    lines += [f'| {item["ms"]} | {item["vm"]} | {item["fault"]} | '
              f'{item["what"]} |' for item in state['longest']]
    if state['anomalies']:
        lines += ['', 'What went wrong:', '']
        lines += [f'- fault {item["number"]}: {item["text"]}: '
                  f'{item["problem"].splitlines()[0]}'
                  for item in state['anomalies']]
    return '\n'.join(lines) + '\n'
