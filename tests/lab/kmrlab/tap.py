# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests that talk TAP about a lab have in common."""

import subprocess
import time

from . import base

LAB = base.HERE + '/lab'
count = 0
failed = 0


class Broken(Exception):
    """What follows would not mean anything."""


def check(good, text, detail=''):
    global count, failed
    count += 1
    print(f'{"ok" if good else "not ok"} {count} - {text}', flush=True)
    if not good:
        failed += 1
        note('\n'.join(str(detail).splitlines()[-60:]))
    return good


def need(good, text, detail=''):
    if not check(good, text, detail):
        raise Broken(text)


def skip(text, reason):
    global count
    count += 1
    print(f'ok {count} - {text} # SKIP {reason}', flush=True)


def note(text):
    for line in str(text).splitlines():
        print(f'# {line}', flush=True)


def end():
    """The plan; the test's exit code."""
    print(f'1..{count}')
    return 1 if failed else 0


def lab(*words, limit=400, **how):
    if 'input' not in how:
        how['stdin'] = subprocess.DEVNULL
    return subprocess.run([LAB, *words], capture_output=True, text=True,
                          timeout=limit, check=False, **how)


def inside(node, script):
    """A shell's output in a node."""
    return lab('exec', node, 'bash', '-c', script, limit=120)


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.2)
    return False
