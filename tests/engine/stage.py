# SPDX-License-Identifier: GPL-2.0-or-later
"""What a pair of QEMUs needs round it: network, storage, guest, client."""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

import image
from machine import Machine, MachineError
from secure import Keys
from shape import agent_path

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
FIRMWARE = ["/usr/share/seabios", "/usr/share/qemu"]
GUEST_IP = "10.77.4.50"
CLIENT_IP = "10.77.4.200"
PORT = 7000
GUEST_IP2 = "10.77.5.50"  # its second card's
CLIENT_IP2 = "10.77.5.200"


def output_of(*command):
    """The last line that COMMAND prints."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip().splitlines()[-1]


def find_emulator():
    if os.environ.get("KEMARI_QEMU"):
        return os.environ["KEMARI_QEMU"]
    return output_of(os.path.join(TOP, "qemu-patches/build"), "--path")


def find_guest():
    if os.environ.get("KEMARI_GUEST"):
        return os.environ["KEMARI_GUEST"]
    return output_of(os.path.join(TOP, "tests/guest/build"))


def find_generic_guest():
    """The one with the kernel that knows all network cards."""
    if os.environ.get("KEMARI_GUEST_GENERIC"):
        return os.environ["KEMARI_GUEST_GENERIC"]
    return output_of(os.path.join(TOP, "tests/guest/build"), "--generic")


def find_client(folder):
    """The one that make built, else one that is compiled in FOLDER."""
    built = os.path.join(os.environ.get("KEMARI_BUILD", "/nonexistent"),
                         "tests/guest/client")
    if os.access(built, os.X_OK):
        return built
    source = os.path.join(TOP, "tests/guest")
    client = os.path.join(folder, "client")
    files = sorted(os.path.join(source, name) for name in os.listdir(source)
                   if name.startswith("client") and name.endswith(".c"))
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O2",
                    "-D_GNU_SOURCE", "-o", client] + files, check=True)
    return client


def run(*command):
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)


def in_namespaces(*command):
    """Runs COMMAND as process 1 of its own, without a network; returns its
    exit code. What it has started dies with it, and it with us."""
    process = subprocess.Popen(
        ["unshare", "--net", "--pid", "--fork", "--kill-child",
         "--mount-proc", sys.executable, *command], stdin=subprocess.DEVNULL)

    def on_signal(number, _):
        sys.exit(128 + number)  # not here: wait() has the lock

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    try:
        return process.wait()
    finally:
        process.kill()  # unshare lets SIGTERM wait
        process.wait()


def make_network():
    """Two bridges with the client's addresses, and TAP devices on them: one
    for each side, on the first bridge also with several queues."""
    run("ip", "link", "set", "lo", "up")
    for bridge, address, taps in (
            ("br0", CLIENT_IP, ("tap0", "tap1", "mtap0", "mtap1")),
            ("br1", CLIENT_IP2, ("tap2", "tap3"))):
        run("ip", "link", "add", bridge, "type", "bridge",
            "forward_delay", "0", "mcast_snooping", "0")
        with open(f"/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6",
                  "w") as file:
            file.write("1")
        run("ip", "address", "add", address + "/24", "dev", bridge)
        for name in taps:
            more = ["multi_queue"] if name.startswith("m") else []
            run("ip", "tuntap", "add", name, "mode", "tap", *more)
            run("ip", "link", "set", name, "master", bridge, "up")
        run("ip", "link", "set", bridge, "up")
        # as in the guest: without it, a lost segment costs 200 ms
        run("ip", "route", "change", address.rsplit(".", 1)[0] + ".0/24",
            "dev", bridge, "src", address, "rto_min", "20ms")


class Storage:
    """A storage server of its own: no image lock, no shared page cache."""

    def __init__(self, folder, mib=256, name="nbd"):
        self.socket = os.path.join(folder, name + ".sock")
        log = open(os.path.join(folder, name + "kit.log"), "w")
        self.process = subprocess.Popen(
            ["nbdkit", "-f", "-U", self.socket, "memory", f"{mib}M"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 40
        while not os.path.exists(self.socket):
            if time.monotonic() > end or self.process.poll() is not None:
                raise MachineError("nbdkit does not start")
            time.sleep(0.01)


class Question:
    """An ICMP echo request to the guest: asked once, answered once, and
    nobody repeats either."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                                     socket.IPPROTO_ICMP)
        self._id = os.getpid() & 0xffff
        head = struct.pack(">BBHHH", 8, 0, 0, self._id, 1)
        total = sum(struct.unpack(">4H", head))
        total = (total & 0xffff) + (total >> 16)
        self._socket.sendto(
            struct.pack(">BBHHH", 8, 0, ~total & 0xffff, self._id, 1),
            (GUEST_IP, 0))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._socket.close()

    def is_answered(self, timeout):
        end = time.monotonic() + timeout
        while True:
            left = max(0, end - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                return False
            data, peer = self._socket.recvfrom(2048)
            answer = data[(data[0] & 15) * 4:]
            if peer[0] == GUEST_IP and answer[0] == 0 and \
                    answer[4:6] == struct.pack(">H", self._id):
                return True


class Client:
    """The witness's client, and what it found."""

    def __init__(self, program, folder, connections=8, interval_ms=5,
                 payload=0, host=GUEST_IP, name="client"):
        self._program = program
        self._log = os.path.join(folder, name + ".log")
        self._json = os.path.join(folder, name + ".json")
        with open(os.path.join(folder, name + ".stderr"), "w") as stderr:
            self.process = subprocess.Popen(
                [program, "--host", host, "--port", str(PORT),
                 "--log", self._log, "--json", self._json,
                 "--ledger", os.path.join(folder, name + ".ledger"),
                 "--connections", str(connections),
                 "--interval-ms", str(interval_ms),
                 "--payload", str(payload)],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)

    def await_replies(self, count, timeout=10):
        """Waits until COUNT more replies have come."""
        wanted = self._replies() + count
        end = time.monotonic() + timeout
        while self._replies() < wanted:
            if time.monotonic() > end:
                raise MachineError("the client gets no replies")
            if self.process.poll() is not None:
                raise MachineError("the client has ended by itself")
            time.sleep(0.02)

    def _replies(self):
        try:
            with open(self._log, "rb") as file:
                return file.read().count(b"\n")
        except FileNotFoundError:
            return 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def finish(self):
        """Ends the client; returns its report."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise MachineError("the client does not end") from error
        try:
            with open(self._json) as file:
                report = json.load(file)
        except (OSError, ValueError) as error:
            raise MachineError(f"the client left no report: {error}") \
                from error
        report["exit"] = self.process.returncode
        return report

    def clock_offset_us(self, begin_us, end_us):
        """The guest's CLOCK_MONOTONIC less ours, by the reply between these
        moments that took the shortest way; None without replies."""
        best = None
        with open(self._log) as file:
            for line in file:
                words = line.split()
                if begin_us <= int(words[0]) < end_us:
                    offset = int(words[3]) - int(words[0])
                    best = offset if best is None else max(best, offset)
        return best

    def blackout_ms(self, at_us):
        done = subprocess.run(
            [self._program, "blackout", "--log", self._log,
             "--at", str(at_us)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            return None
        return float(done.stdout.split()[0])


class Stage:
    """Everything that the runs share."""

    def __init__(self, folder, accel="tcg", silence_ms=1000, tls=None):
        self.folder = folder
        self.accel = accel
        self.silence_ms = silence_ms  # 1000 is what kemarid uses
        self.keys = tls and Keys(tls, os.path.join(folder, "keys"))
        self.emulator = find_emulator()
        self.client_program = find_client(folder)
        self.machines = 0
        self.limited = False
        make_network()
        self.storage = [Storage(folder), Storage(folder, name="nbd1")]
        self.tabled = []  # for images with tables
        self.base = None

    def limit_stream(self, mbit):
        """The stream between the two goes through a link of MBIT/s (0: as
        fast as it goes). It is all that uses the loopback device."""
        if self.limited:
            run("tc", "qdisc", "delete", "dev", "lo", "root")
        if mbit:
            run("tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate",
                f"{mbit}mbit", "burst", "256kb", "latency", "20ms")
        self.limited = mbit != 0

    def prepare_images(self, folder, shape):
        """Empty ones, for a guest that is about to boot."""
        if not self.tabled and any(form != "raw" for form in shape.formats):
            self.tabled = [Storage(self.folder, image.SIZE_MIB +
                                   image.ROOM_MIB, name)
                           for name in ("tabled0", "tabled1")]
        if "backed" in shape.formats and not self.base:
            self.base = Storage(self.folder, image.SIZE_MIB, "base")
            image.fill_base(self.base.socket)
        for number, form in enumerate(shape.formats):
            if form != "raw":
                image.format_qcow2(
                    folder, self.tabled[number].socket,
                    self.base.socket if form == "backed" else None)

    def check_images(self, shape):
        """Nobody writes to them now."""
        return sum(image.check(self.tabled[number].socket)
                   for number, form in enumerate(shape.formats)
                   if form != "raw")

    def sockets(self, shape, _side):
        """Where the machine on a side finds its disks."""
        return [(self.storage if form == "raw" else self.tabled)[number].socket
                for number, form in enumerate(shape.formats)]

    def start_machine(self, folder, shape, words, primary=None):
        """A QEMU that boots the guest, or waits for the PRIMARY."""
        name = f"qemu{self.machines}"
        side = 1 - primary.side if primary else 0
        agent = agent_path(folder, name)
        guest = find_generic_guest() if shape.is_generic() else find_guest()
        self.machines += 1
        line = ["console=ttyS0", "quiet", f"witness.ip={GUEST_IP}/24",
                f"witness.port={PORT}"] + shape.words() + [words]
        if len(shape.cards) > 1:
            line.append(f"witness.ip2={GUEST_IP2}")
        arguments = [
            self.emulator, "-nodefaults", "-display", "none",
            "-accel", self.accel,
            "-kernel", os.path.join(guest, "vmlinuz"),
            "-initrd", os.path.join(guest, "initrd"),
            "-append", " ".join(line)]
        flash = os.path.join(folder, "flash")
        arguments += shape.arguments(
            side, self.sockets(shape, side), self.base and self.base.socket,
            agent, flash)
        for path in FIRMWARE:
            arguments += ["-L", path]
        if primary:
            arguments += ["-incoming", "defer"]
        machine = Machine(name, folder, arguments)
        machine.side = side
        machine.agent = agent
        machine.flash = flash
        return machine

    def start_clients(self, folder, shape, options):
        """One for each card; the first has the load."""
        clients = [Client(self.client_program, folder, **options)]
        if len(shape.cards) > 1:
            clients.append(Client(self.client_program, folder, connections=4,
                                  interval_ms=10, host=GUEST_IP2,
                                  name="client2"))
        return clients
