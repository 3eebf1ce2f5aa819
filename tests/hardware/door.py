# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in for kemari-mced at the door of kemarid."""

import json
import os
import subprocess
import time

from kmrlab import base, tap

SOURCES = {'mce:mce_record': 'ok', 'ras:mc_event': 'not in this kernel'}


class Mced:
    """At one node's kemarid; its end is the end of kemari-mced."""

    def __init__(self, node):
        self.node = node
        self.id = 0
        program = os.environ.get('KEMARI_BUILD', '') + '/tests/hardware/say'
        if not os.access(program, os.X_OK):
            raise base.LabError(f'{program} is not built (KEMARI_BUILD)')
        self.child = subprocess.Popen(
            [tap.LAB, 'exec', node, program], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)

    def say(self, *words):
        """kemarid's answer: "0 " or "1 why"."""
        self.child.stdin.write('\t'.join(('hardware',) + words) + '\n')
        self.child.stdin.flush()
        return self.child.stdout.readline().rstrip('\n')

    def hello(self, health='green', sources=None, lost=0):
        what = dict(SOURCES if sources is None else sources)
        what.update({'lost': lost, 'health': health})
        return self.say('hello', 'sources=' + json.dumps(what))

    def report(self, verdict, health, reason, scope='node'):
        """When the record was, and the answer."""
        self.id += 1
        at = time.monotonic_ns() // 1000
        answer = self.say('report', verdict, f'scope={scope}',
                          f'health={health}', f'record-us={at}',
                          f'id={self.id}', f'reason={reason}')
        if answer != '0 ':
            tap.note(f'{self.node}: {verdict}: {answer}')
        return at

    def end(self):
        self.child.stdin.close()
        self.child.wait(30)
