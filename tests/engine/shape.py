# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine is made of, and the users of its smaller devices."""

import os
import socket
import struct
import threading
import time

from image import FORMATS
from machine import MachineError

BOARDS = ("pc", "q35")
DISKS = ("blk", "scsi")
CARDS = ("virtio", "e1000", "e1000e")
EXTRAS = ("rng", "balloon", "agent", "flash", "iothread")
MACS = ("52:54:00:4b:4d:01", "52:54:00:4b:4d:02")
MEMORY_MIB = 128
MORE_MIB = 64  # for the generic kernel, and what is soiled for a balloon
BALLOON_MIB = 40  # taken at most
DEVICE_S = 20
BIOS = "/usr/share/seabios/bios-256k.bin"
FLASH = 128 << 10  # below the firmware, which ends at 4 GiB
FLASH_AT = (4 << 30) - (256 << 10) - FLASH


class Shape:
    """A board, its processors, disks, network cards, and extras."""

    def __init__(self, board, vcpus, disks=("blk",), cards=("virtio",),
                 queues=1, extras=(), formats=()):
        self.board = board
        self.vcpus = vcpus
        self.disks = list(disks)
        self.cards = list(cards)
        self.queues = queues
        self.extras = list(extras)
        self.formats = (list(formats) + ["raw"] * 2)[:len(self.disks)]
        self.on_error = ""  # of disks: what QEMU does then; its default
        self.devices = []  # more of them
        self.memory_mib = MEMORY_MIB + (0 if self.is_plain() else MORE_MIB)

    @classmethod
    def choose(cls, arguments, chance, number):
        """By chance, but for what ARGUMENTS say; plain ones as they used to
        be: virtio, one or two vCPUs."""
        board = chance.choice(BOARDS)
        if arguments.plain:
            return cls(arguments.board or board,
                       arguments.vcpus or 1 + number % 2)
        vcpus = chance.choices((1, 2, 4, 8), (3, 3, 2, 1))[0]
        disks = chance.choices(DISKS, k=chance.choice((1, 1, 2)))
        cards = chance.choices(CARDS, (4, 1, 1), k=chance.choice((1, 1, 2)))
        queues = chance.choice((1, 2, 4))
        extras = [name for name in EXTRAS if chance.random() < 0.4]
        formats = chance.choices(FORMATS, (3, 2, 1), k=2)
        return cls(arguments.board or board, arguments.vcpus or vcpus,
                   arguments.disks or disks, arguments.cards or cards,
                   arguments.queues or queues,
                   extras if arguments.extras is None else arguments.extras,
                   arguments.formats or formats)

    def __str__(self):
        return " ".join([self.board, f"{self.vcpus} vCPU",
                         "+".join(f"{disk}({form})" if form != "raw" else disk
                                  for disk, form in zip(self.disks,
                                                        self.formats)),
                         "+".join(self.cards),
                         f"{self.queues} queues"] + self.extras)

    def is_plain(self):
        return self.disks == ["blk"] and self.cards == ["virtio"] and \
            not self.extras

    def is_generic(self):
        """Needs a card that only the generic kernel knows."""
        return any(card != "virtio" for card in self.cards)

    def words(self):
        """The guest's kernel words."""
        letters = {"blk": iter("ab"), "scsi": iter("ab")}
        names = [("/dev/vd" if disk == "blk" else "/dev/sd") +
                 next(letters[disk]) for disk in self.disks]
        words = ["witness.disk=" + ",".join(names)]
        if not self.is_plain():
            words.append("witness.more=1")
        # what the balloon gives back shall not be zero before
        special = {"balloon": "witness.soil=48 init_on_alloc=0",
                   "flash": f"witness.flash={FLASH_AT:x}"}
        words += [special.get(extra, f"witness.{extra}=1")
                  for extra in self.extras if extra != "iothread"]
        return words

    def tap(self, number, side):
        """The TAP device of card NUMBER of the machine on one SIDE."""
        if number == 0 and self.cards[0] == "virtio" and self.queues > 1:
            return f"mtap{side}"
        return f"tap{2 * number + side}"

    def _disk(self, number):
        # what is in the tables of an image has to be written, too
        through = "" if self.formats[number] == "raw" else ",write-cache=off"
        if self.disks[number] == "blk":
            line = []
            if "iothread" in self.extras:
                line = ["-object", f"iothread,id=io{number}"]
                through += f",iothread=io{number}"
            return line + ["-device", f"virtio-blk-pci,drive=disk{number},"
                           f"num-queues={self.queues}{through}{self.on_error}"]
        return ["-device", f"virtio-scsi-pci,id=scsi{number},"
                f"num_queues={self.queues}",
                "-device", f"scsi-hd,drive=disk{number},bus=scsi{number}.0"
                f"{through}{self.on_error}"]

    def _image(self, number, socket_path, base):
        line = ["-blockdev", f"driver=nbd,node-name=nbd{number},"
                f"cache.direct=on,server.type=unix,server.path={socket_path}"]
        form = self.formats[number]
        more = ""
        if form == "backed":
            line += ["-blockdev", f"driver=nbd,node-name=basenbd{number},"
                     f"read-only=on,server.type=unix,server.path={base}",
                     "-blockdev", f"driver=raw,node-name=base{number},"
                     f"read-only=on,file=basenbd{number}"]
            more = f",backing=base{number}"
        return line + ["-blockdev", f"driver={self.driver(number)},"
                       f"node-name=disk{number},cache.direct=on,"
                       f"file=nbd{number}{more}"]

    def driver(self, number):
        return "raw" if self.formats[number] == "raw" else "qcow2"

    def _card(self, number, side):
        model = self.cards[number]
        tap = self.tap(number, side)
        netdev = f"tap,id=net{number},ifname={tap},script=no,downscript=no"
        device = f"netdev=net{number},mac={MACS[number]},romfile="
        if model == "virtio":
            model = "virtio-net-pci"
        if tap.startswith("mtap"):
            netdev += f",queues={self.queues}"
            device += f",mq=on,vectors={2 * self.queues + 2}"
        return ["-netdev", netdev, "-device", f"{model},{device}"]

    def arguments(self, side, sockets, base, agent, flash):
        """QEMU's: the disks are on the storage servers at SOCKETS, what may
        be below them at BASE, the agent is spoken to at the socket AGENT, FLASH
        is a file that both have."""
        line = ["-machine", self.board, "-smp", str(self.vcpus),
                "-m", str(self.memory_mib)]
        for number in range(len(self.disks)):
            line += self._image(number, sockets[number], base)
            line += self._disk(number)
        for number in range(len(self.cards)):
            line += self._card(number, side)
        for device in self.devices:
            line += ["-device", device]
        if "rng" in self.extras:
            line += ["-device", "virtio-rng-pci"]
        if "balloon" in self.extras:
            line += ["-device", "virtio-balloon-pci"]
        if "flash" in self.extras:
            line += flash_arguments(flash)
        if "agent" in self.extras:
            line += ["-device", "virtio-serial-pci",
                     "-chardev", f"socket,id=agent,path={agent},server=on,"
                     "wait=off",
                     "-device", "virtserialport,chardev=agent,name=agent"]
        return line


def flash_arguments(path):
    """The firmware in flash memory, and another one that is written to; both
    sides have its image."""
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.truncate(FLASH)
    return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={BIOS}",
            "-drive", f"if=pflash,unit=1,format=raw,file={path}"]


def last_number(flash):
    """What the guest has written last; what it has erased, or not written in
    full, looks very large."""
    return max(number for number, in struct.iter_unpack("<Q", flash)
               if number < 1 << 32)


class Agent:
    """Tells the guest's agent one number after the other. What the guest
    said that it has done, it must have done after a takeover, too."""

    def __init__(self):
        self.done = 0
        self._next = 0
        self._link = None
        self._thread = None

    @staticmethod
    def _connect(path):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(DEVICE_S)
        link.connect(path)
        return link

    def start(self, path):
        self._link = self._connect(path)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        """Until the other end is gone."""
        file = self._link.makefile("rb")
        try:
            while True:
                self._next += 1
                self._link.sendall(f"set {self._next}\n".encode())
                line = b""
                while line != f"done {self._next}\n".encode():
                    line = file.readline()  # there may be one of a takeover
                    if not line:
                        return
                self.done = self._next
                time.sleep(0.003)
        except OSError:
            pass

    def _stop(self):
        try:
            self._link.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was faster
        self._thread.join()
        self._link.close()

    def check(self, path):
        """Ends; then asks the machine at PATH what the guest has."""
        self._stop()
        end = time.monotonic() + DEVICE_S
        while time.monotonic() < end:
            with self._connect(path) as link:
                link.settimeout(1)
                try:
                    link.sendall(b"\nget\n")
                    for line in link.makefile("rb"):
                        if line.startswith(b"have "):
                            have = int(line.split()[1])
                            if have < self.done:
                                raise MachineError(
                                    f"the agent has done {self.done} and "
                                    f"knows of {have}")
                            return
                except (TimeoutError, ValueError):
                    pass
        raise MachineError("the agent does not answer")


class Devices:
    """What is done with the extras of a machine during a run, and whether
    they still work after it."""

    def __init__(self, shape, chance, machine):
        self._extras = shape.extras
        self._memory_mib = shape.memory_mib
        self._chance = chance
        self._agent = Agent() if "agent" in shape.extras else None
        if self._agent:
            self._agent.start(machine.agent)

    def disturb(self, machine):
        """Now it is protected."""
        if "balloon" in self._extras:
            self._set_balloon(machine)

    def _set_balloon(self, machine):
        left = (self._memory_mib -
                self._chance.randint(0, BALLOON_MIB)) << 20
        machine.command("balloon", value=left)
        return left

    def check(self, machine):
        """Every one of them works on MACHINE."""
        if self._agent:
            self._agent.check(machine.agent)
        for extra in ("rng", "flash"):
            if extra in self._extras:
                machine.await_more(f"alive: {extra}", DEVICE_S)
        if "flash" in self._extras:
            self._check_flash(machine)
        if "balloon" in self._extras:
            left = self._set_balloon(machine)
            end = time.monotonic() + DEVICE_S
            while machine.command("query-balloon")["actual"] != left:
                if time.monotonic() > end:
                    raise MachineError("the balloon does not move")
                time.sleep(0.02)

    def check_standby(self, standby):
        """Nobody has said so far that it takes over."""
        if "flash" in self._extras:
            standby.await_state("primary-lost")
            with open(standby.flash, "rb") as file:
                image = file.read()
            ahead, committed = (last_number(data) for data in (
                image, standby.memory(FLASH, FLASH_AT)))
            if ahead > committed:
                raise MachineError(f"the image of the flash memory has {ahead}"
                                   f", the checkpoint {committed}")

    @staticmethod
    def _check_flash(machine):
        """The image has what the guest has."""
        for _ in range(20):
            machine.command("stop")
            memory = machine.memory(FLASH, FLASH_AT)
            with open(machine.flash, "rb") as file:
                image = file.read()
            machine.command("cont")
            if memory == image:
                return
            time.sleep(0.02)  # in the middle of a command, perhaps
        raise MachineError("the image of the flash memory is another")


def agent_path(folder, name):
    return os.path.join(folder, name + ".agent.sock")
