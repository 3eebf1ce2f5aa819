# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that is protected, and who gives the orders to its two QEMUs."""

import os
import time

import counts
import overload
from machine import MachineError

READY_S = 120


def now_us():
    return time.monotonic_ns() // 1000


class Pair:
    """A guest with its primary, from its boot on."""

    def __init__(self, stage, number, words, shape, policy=None,
                 link_mbit=overload.LINK_MBIT):
        """WORDS are for the kernel: what the guest does. With a POLICY it
        does more than its link carries, LINK_MBIT."""
        self.stage = stage
        self.words = words
        self.shape = shape
        self.folder = os.path.join(stage.folder, f"chain{number}")
        os.mkdir(self.folder)
        self.generation = 0
        self.standby = None
        self.port = 20000
        self.reason = None
        self.protected_us = None
        self.confirmed = 0
        self.policy = policy
        stage.limit_stream(link_mbit if policy else 0)
        self.old = []
        stage.prepare_images(self.folder, shape)
        self.primary = self._start(None)
        try:
            self.primary.await_console("ready on port", READY_S)
        except MachineError:
            self.end()
            raise

    def has_tables(self):
        return any(form != "raw" for form in self.shape.formats)

    def _start(self, primary):
        return self.stage.start_machine(self.folder, self.shape,
                                        self.words, primary)

    def next(self):
        self.generation += 1
        return self.generation

    def start_protection(self, silence_ms=None):
        """Up to the beginning of the initial synchronisation."""
        self.protected_us = None
        self.standby = self._start(self.primary)
        generation = self.next()
        self.port += 1
        uri = f"tcp:127.0.0.1:{self.port}"
        a, b = self.primary, self.standby
        a.forget_events()
        more = {"timeout_ms": silence_ms or self.stage.silence_ms}
        if self.policy:
            more.update(overload.arguments(self.policy))
        for one, other in ((b, a), (a, b)):
            one.command("x-kemari-prepare", instance=one.instance,
                        peer=other.instance, generation=generation,
                        confirm=True, **more)
            one.capability()
        if self.stage.keys:
            self.stage.keys.use(b, "server")
            self.stage.keys.use(a, "client")
        b.command("migrate-incoming", uri=uri)
        a.command("migrate", uri=uri)

    def protect(self, silence_ms=None):
        self.start_protection(silence_ms)
        state = self.primary.await_state("in-step", "none", timeout=READY_S)
        if state["state"] != "in-step":
            raise MachineError(f"not in step: {state.get('reason')}")
        self.primary.command("x-kemari-confirm",
                             instance=self.primary.instance,
                             generation=self.next())
        self.confirmed = self.primary.await_state("protected")["checkpoint"]
        self.protected_us = now_us()

    def takeover(self):
        """Returns milliseconds from the order to running vCPUs."""
        # the acknowledgement may be out before the standby says it is ready
        self.standby.await_state("synchronised", "primary-lost")
        start = time.monotonic()
        self.standby.command("x-kemari-takeover",
                             instance=self.standby.instance,
                             generation=self.next())
        self.reason = self.standby.await_state("running")["reason"]
        took = (time.monotonic() - start) * 1000
        self.standby.await_state("none")
        self.old.append(self.primary)
        self.primary, self.standby = self.standby, None
        wrong = counts.standby_wrong(self.primary.kemari())
        if wrong:
            raise MachineError(f"{self.primary.name}: {wrong}")
        return took

    def release(self):
        self.primary.await_state("holding")
        self.primary.command("x-kemari-release",
                             instance=self.primary.instance,
                             generation=self.next())
        self.primary.await_state("none")
        self.old.append(self.standby)
        self.standby = None

    def end(self):
        for machine in [self.primary, self.standby] + self.old:
            if machine:
                machine.kill()

    def complaints(self):
        return [f"{m.name}: {line}"
                for m in [self.primary, self.standby] + self.old if m
                for line in m.complaints()]
