# SPDX-License-Identifier: GPL-2.0-or-later
"""Names, places and processes. Every process of the lab is kept with its
start time, and only such a process is ever ended."""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# KEMARI_LAB=NAME: a second lab beside the first
SUFFIX = ''.join('-' + c for c in [os.environ.get('KEMARI_LAB', '')] if c)
RUN = '/run/kemari-lab' + SUFFIX     # pids, sockets: what is up now
DATA = '/var/tmp/kemari-lab' + SUFFIX  # the nodes' disks, logs, records
PIDS = RUN + '/pids'
POWER = RUN + '/power'               # the only folder that nodes see, too
LOGS = DATA + '/logs'
RECORDS = DATA + '/records'
LINKS = {'cluster': 1, 'repl': 2, 'storage': 3, 'guest': 4}
MAX_NODES = 9


class LabError(Exception):
    """Something that the user is told in one line."""


def say(text):
    print(text, flush=True)


def number_of(node):
    return int(node.removeprefix('node'))


def address(link, last):
    return f'10.77.{LINKS[link]}.{last}'


def settings():
    """What `up` was called with."""
    try:
        with open(RUN + '/settings.json', encoding='utf-8') as file:
            return json.load(file)
    except FileNotFoundError:
        raise LabError('the lab is not up (lab up)') from None


def nodes():
    return [f'node{n + 1}' for n in range(settings()['nodes'])]


@contextlib.contextmanager
def alone_with(node):
    """One at a time for a node's power and links, threads and processes
    alike: a link that is healed while its node is plugged in would take the
    relay away under the machine room's hands."""
    with open(f'{RUN}/lock-{node}', 'w', encoding='utf-8') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_node(node):
    if node not in nodes():
        raise LabError(f'no such node: {node} (there are '
                       f'{" ".join(nodes())})')
    return node


def check_link(link):
    if link not in LINKS:
        raise LabError(f'no such link: {link} (there are {" ".join(LINKS)})')
    return link


# ---------------------------------------------------------------- processes

def start_time(pid):
    """Start time of a living process in clock ticks, else None."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8') as file:
            fields = file.read().rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in 'ZX' else int(fields[19])


def write_atomically(path, text):
    with open(path + '.new', 'w', encoding='utf-8') as file:
        file.write(text)
    os.rename(path + '.new', path)


def remember(name, pid):
    started = start_time(pid)
    if started is None:
        raise LabError(f'{name} ended at once, see {LOGS}/{name}.log')
    write_atomically(f'{PIDS}/{name}', f'{pid} {started}\n')


def pid_of(name):
    """The pid of a process that was remembered and lives, else None."""
    try:
        with open(f'{PIDS}/{name}', encoding='utf-8') as file:
            pid, started = map(int, file.read().split())
    except (FileNotFoundError, ValueError):
        return None
    return pid if start_time(pid) == started else None


def remembered():
    try:
        return sorted(n for n in os.listdir(PIDS) if not n.endswith('.new'))
    except FileNotFoundError:
        return []


def forget(name):
    try:
        os.unlink(f'{PIDS}/{name}')
    except FileNotFoundError:
        pass


def end(name, timeout=10.0, sig=signal.SIGKILL):
    """Ends a remembered process; True when it is certainly dead."""
    pid = pid_of(name)
    if pid is None:
        forget(name)
        return True
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        forget(name)
        return True
    try:
        # the handle is of the process that we meant: looked at again
        if pid_of(name) == pid:
            try:
                signal.pidfd_send_signal(handle, sig)
            except ProcessLookupError:
                pass
            if not select.select([handle], [], [], timeout)[0]:
                return False
    finally:
        os.close(handle)
    forget(name)
    return True


def start(name, argv, env=None, own_session=True):
    """Starts a process that outlives this one; its output goes to a log."""
    with open(f'{LOGS}/{name}.log', 'ab') as log:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd='/',
            env=env, start_new_session=own_session)
    remember(name, child.pid)
    return child


def run(argv, check=True, text=None, env=None):
    """Runs a command to its end; what it said is in the exception."""
    done = subprocess.run(argv, input=text, capture_output=True, text=True,
                          env=env, check=False)
    if check and done.returncode != 0:
        raise LabError(f'{" ".join(argv[:8])}: '
                       f'{done.stderr.strip() or done.returncode}')
    return done


def wait_for(what, condition, timeout, pause=0.02):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabError(f'{what}: not within {timeout:g} s')
        time.sleep(pause)
