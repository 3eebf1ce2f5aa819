# SPDX-License-Identifier: GPL-2.0-or-later
"""What a pair of QEMUs needs round it: network, storage, guest, client."""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import time

from machine import Machine, MachineError

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
FIRMWARE = ["/usr/share/seabios", "/usr/share/qemu"]
GUEST_IP = "10.77.4.50"
CLIENT_IP = "10.77.4.200"
PORT = 7000
MAC = "52:54:00:4b:4d:01"
MEMORY_MIB = 128


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


def make_network():
    """A bridge with the client's address, and two TAP devices on it."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0",
        "mcast_snooping", "0")
    with open("/proc/sys/net/ipv6/conf/br0/disable_ipv6", "w") as file:
        file.write("1")
    run("ip", "address", "add", CLIENT_IP + "/24", "dev", "br0")
    for name in ("tap0", "tap1"):
        run("ip", "tuntap", "add", name, "mode", "tap")
        run("ip", "link", "set", name, "master", "br0", "up")
    run("ip", "link", "set", "br0", "up")
    # as in the guest: without it, a lost segment costs 200 ms
    run("ip", "route", "change", "10.77.4.0/24", "dev", "br0",
        "src", CLIENT_IP, "rto_min", "20ms")


class Storage:
    """A storage server of its own: no image lock, no shared page cache."""

    def __init__(self, folder, mib=256):
        self.socket = os.path.join(folder, "nbd.sock")
        log = open(os.path.join(folder, "nbdkit.log"), "w")
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
                 payload=0):
        self._program = program
        self._log = os.path.join(folder, "client.log")
        self._json = os.path.join(folder, "client.json")
        with open(os.path.join(folder, "client.stderr"), "w") as stderr:
            self.process = subprocess.Popen(
                [program, "--host", GUEST_IP, "--port", str(PORT),
                 "--log", self._log, "--json", self._json,
                 "--ledger", os.path.join(folder, "client.ledger"),
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

    def __init__(self, folder, accel="tcg", silence_ms=1000):
        self.folder = folder
        self.accel = accel
        self.silence_ms = silence_ms  # 1000 is what kemarid uses
        self.emulator = find_emulator()
        self.guest = find_guest()
        self.client_program = find_client(folder)
        self.machines = 0
        make_network()
        self.storage = Storage(folder)

    def start_machine(self, folder, board, vcpus, words, primary=None):
        """A QEMU that boots the guest, or waits for the PRIMARY."""
        name = f"qemu{self.machines}"
        tap = "tap1" if primary and primary.tap == "tap0" else "tap0"
        self.machines += 1
        line = (f"console=ttyS0 quiet witness.ip={GUEST_IP}/24 "
                f"witness.port={PORT} witness.disk=/dev/vda {words}")
        arguments = [
            self.emulator, "-nodefaults", "-display", "none",
            "-machine", board, "-accel", self.accel, "-smp", str(vcpus),
            "-m", str(MEMORY_MIB),
            "-kernel", os.path.join(self.guest, "vmlinuz"),
            "-initrd", os.path.join(self.guest, "initrd"), "-append", line,
            "-blockdev", "driver=nbd,node-name=nbd0,cache.direct=on,"
            f"server.type=unix,server.path={self.storage.socket}",
            "-blockdev", "driver=raw,node-name=disk0,cache.direct=on,"
            "file=nbd0",
            "-device", "virtio-blk-pci,drive=disk0",
            "-netdev", f"tap,id=net0,ifname={tap},script=no,downscript=no",
            "-device", f"virtio-net-pci,netdev=net0,mac={MAC},romfile="]
        for path in FIRMWARE:
            arguments += ["-L", path]
        if primary:
            arguments += ["-incoming", "defer"]
        machine = Machine(name, folder, arguments)
        machine.tap = tap
        return machine

    def start_client(self, folder, options):
        return Client(self.client_program, folder, **options)
