# SPDX-License-Identifier: GPL-2.0-or-later
"""One QEMU and its monitor."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import time
import uuid

BAD_WORDS = re.compile(
    r"EARLY|LOST|TWICE|CLOCK went|I/O error|MEMORY page|PORT |TABLE damaged|"
    r"FAILED|"
    r"Kernel panic|BUG:|Oops|blocked for more than|soft lockup|rcu_sched")

PAGE = 4096


class MachineError(Exception):
    """What a QEMU did or said that it should not."""


class Machine:
    """A QEMU process; it is killed with the pid namespace at the latest."""

    def __init__(self, name, folder, arguments):
        self.name = name
        self.instance = str(uuid.uuid4())
        self.console = os.path.join(folder, name + ".console")
        self.events = []
        self.side = 0
        self.agent = None
        self.objects = set()
        self.flash = None
        self.overloads = []
        self._log = open(os.path.join(folder, name + ".qmp"), "w")
        self._buffer = b""
        path = os.path.join(folder, name + ".sock")
        with open(os.path.join(folder, name + ".stderr"), "w") as stderr:
            self.process = subprocess.Popen(
                arguments + ["-serial", "file:" + self.console,
                             # for the guest's load=port
                             "-serial", "null",
                             "-qmp", f"unix:{path},server=on,wait=off"],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        self._socket = self._connect(path)
        self._read_until(lambda m: "QMP" in m, 10)
        self.command("qmp_capabilities")

    def _connect(self, path):
        end = time.monotonic() + 10
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            link = socket.socket(socket.AF_UNIX)
            try:
                link.connect(path)
                return link
            except OSError:
                link.close()
                time.sleep(0.01)
        raise MachineError(f"{self.name}: no monitor (see {self.name}.stderr)")

    def _note(self, direction, text):
        self._log.write(f"{time.monotonic():.6f} {direction} {text}\n")
        self._log.flush()

    def _read_message(self, end):
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise MachineError(f"{self.name}: no answer in time")
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise MachineError(f"{self.name}: monitor closed")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        self._note("<", line.decode().strip())
        return json.loads(line)

    def _read_until(self, is_wanted, timeout):
        end = time.monotonic() + timeout
        while True:
            message = self._read_message(end)
            if message.get("event") == "KEMARI_STATE":
                self.events.append(message["data"])
            if message.get("event") == "KEMARI_OVERLOAD":
                self.overloads.append(message["data"])
            if is_wanted(message):
                return message

    def command(self, name, /, timeout=20, **arguments):
        """Returns what the command returned, or raises MachineError."""
        arguments = {k.replace("_", "-"): v for k, v in arguments.items()}
        text = json.dumps({"execute": name, "arguments": arguments})
        self._note(">", text)
        try:
            self._socket.sendall(text.encode() + b"\n")
        except OSError as error:
            raise MachineError(f"{self.name}: {name}: {error}") from error
        answer = self._read_until(
            lambda m: "return" in m or "error" in m, timeout)
        if "error" in answer:
            raise MachineError(
                f"{self.name}: {name}: {answer['error']['desc']}")
        return answer["return"]

    def capability(self):
        self.command("migrate-set-capabilities", capabilities=[
            {"capability": "x-kemari", "state": True},
            {"capability": "events", "state": True}])

    def await_state(self, *states, timeout=20):
        """Waits for one of the STATES; those already seen count."""
        for data in self.events:
            if data["state"] in states:
                return data
        message = self._read_until(
            lambda m: m.get("event") == "KEMARI_STATE" and
            m["data"]["state"] in states, timeout)
        return message["data"]

    def await_overload(self, active, timeout=30):
        """Waits until the last word on it is ACTIVE."""
        if not self.overloads or self.overloads[-1]["active"] != active:
            self._read_until(
                lambda m: m.get("event") == "KEMARI_OVERLOAD" and
                m["data"]["active"] == active, timeout)
        return self.overloads[-1]

    def await_event(self, name, timeout=20):
        """One that has not been read yet."""
        return self._read_until(lambda m: m.get("event") == name, timeout)

    def memory_kib(self, what):
        """WHAT (VmHWM, RssAnon, ...) of the process."""
        with open(f"/proc/{self.process.pid}/status") as file:
            for line in file:
                if line.startswith(what + ":"):
                    return int(line.split()[1])
        raise MachineError(f"{self.name}: no {what}")

    def forget_events(self):
        self.events = []
        self.overloads = []

    def yank(self):
        """End the stream, whatever it is waiting for."""
        self.command("yank", instances=[{"type": "migration"}])

    def kemari(self):
        return self.command("query-kemari")

    def memory(self, size, start):
        """What the guest has there."""
        path = os.path.join(os.path.dirname(self.console),
                            self.name + ".memory")
        self.command("pmemsave", val=start, size=size, filename=path)
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
        return data

    def stop(self):
        """SIGSTOP: a primary that does not answer, and is not dead."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL, and waits until the process is gone."""
        self.process.kill()
        self.process.wait()

    def random_frame(self, size, chance):
        """The number of a page frame that the guest's memory of SIZE is in."""
        with open(f"/proc/{self.process.pid}/maps") as file:
            areas = [[int(n, 16) for n in line.split()[0].split("-")]
                     for line in file]
        begin = next(a for a, b in areas if b - a == size)
        with open(f"/proc/{self.process.pid}/pagemap", "rb") as file:
            while True:
                page = begin // PAGE + chance.randrange(size // PAGE)
                file.seek(page * 8)
                entry = int.from_bytes(file.read(8), "little")
                if entry >> 63:  # present
                    return entry & ((1 << 55) - 1)

    def console_text(self):
        try:
            with open(self.console, errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def await_console(self, text, timeout):
        end = time.monotonic() + timeout
        while text not in self.console_text():
            if time.monotonic() > end or self.process.poll() is not None:
                raise MachineError(f"{self.name}: the guest never said "
                                   f"\"{text}\"")
            time.sleep(0.02)

    def await_more(self, text, timeout):
        """Waits until the guest says TEXT once more than it has."""
        wanted = self.console_text().count(text) + 1
        end = time.monotonic() + timeout
        while self.console_text().count(text) < wanted:
            if time.monotonic() > end or self.process.poll() is not None:
                raise MachineError(f"{self.name}: the guest says no more "
                                   f"\"{text}\"")
            time.sleep(0.02)

    def complaints(self):
        """Lines on the console that there should not be."""
        return [line for line in self.console_text().splitlines()
                if BAD_WORDS.search(line)]


def compare_memory(one, other, mib):
    """All but the first MiB, of two machines whose memory does not change any
    more: what is seen there depends on registers of the chipset, which a
    standby loads when it takes over."""
    ours, theirs = (machine.memory((mib - 1) << 20, 1 << 20)
                    for machine in (one, other))
    pages = [at >> 12 for at in range(0, len(ours), 4096)
             if ours[at:at + 4096] != theirs[at:at + 4096]]
    if pages or len(ours) != len(theirs):
        raise MachineError(f"{len(pages)} pages of the memory differ, the "
                           "first after 1 MiB: " +
                           " ".join(f"{page:x}" for page in pages[:8]))
