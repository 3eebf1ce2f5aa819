# SPDX-License-Identifier: GPL-2.0-or-later
"""What the demo asks the nodes about a pair, vm0 unless told otherwise."""

import json
import time

from kmrlab import base, cluster


def on(node, *words, errors=False):
    """Runs a command in a node; its output. A failure is an error."""
    done = cluster.in_node(node, *words)
    if done.returncode != 0:
        raise base.LabError(f'{node}: {" ".join(words)[:120]}: '
                            f'{(done.stderr or done.stdout).strip()}')
    return done.stdout + (done.stderr if errors else '')


def living():
    return [node for node in base.nodes() if base.pid_of(node)]


def others(node):
    return [name for name in living() if name != node]


def ask(node, *words):
    """kemarictl's answer as data; None where kemarid does not answer."""
    try:
        done = cluster.in_node(node, 'kemarictl', *words, '--output-as=json')
    except base.LabError:
        return None  # switched off meanwhile
    try:
        return json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        return None


def status(vm='vm0'):
    """The pair as the first node that knows of it sees it, else None."""
    for node in living():
        answer = ask(node, 'status', vm)
        for found in (answer or {}).get('pairs', []):
            if found['name'] == vm and found.get('primary'):
                return found
    return None


def primary():
    now = status()
    return now['primary']['node'] if now else None


def sides():
    now = status()
    if not now or now['state'] != 'protected' or not now.get('standby'):
        raise base.LabError('the pair is not protected')
    return now['primary']['node'], now['standby']['node']


def wait_protected(timeout, say):
    """Shows each change on the way."""
    began = time.monotonic()
    shown = None
    last = None
    while time.monotonic() - began < timeout:
        now = status()
        if now:
            last = now
            text = now['state'] + (
                f' {now["progress"]} %' if now['state'] == 'syncing' else '')
            if text != shown:
                say(f'  {time.monotonic() - began:5.1f} s  vm0: {text}'
                    f' (primary on {now["primary"]["node"]}'
                    f'{": " + now["reason"] if now["reason"] else ""})')
                shown = text
            if now['state'] == 'protected' and now.get('standby'):
                return now
        time.sleep(0.5)
    say(cluster.in_node(living()[0], 'crm_mon', '-1Arf').stdout)
    raise base.LabError(f'not protected within {timeout} s: '
                        f'{last["state"] + ", " + last["reason"] if last else "nobody knows of the pair"}')


def qemu_pid(node, vm='vm0'):
    """The pid (inside the node) that kemarid wrote down."""
    for line in on(node, 'cat', f'/run/kemari/{vm}.pid').splitlines():
        name, _, value = line.partition('=')
        if name == 'pid':
            return int(value)
    raise base.LabError(f'{node}: no pid in /run/kemari/{vm}.pid')


def events(vm='vm0'):
    """Of all nodes that live, in the order of time. One machine: they share
    the clock."""
    found = {}
    for node in living():
        for item in ask(node, 'events', vm) or []:
            key = (item['mono_us'], item['node'], item['from'], item['to'])
            found[key] = item
    return [found[key] for key in sorted(found)]
