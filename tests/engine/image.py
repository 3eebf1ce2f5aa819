# SPDX-License-Identifier: GPL-2.0-or-later
"""Images with tables of their own (qcow2) on the storage servers."""

import json
import os
import subprocess

from machine import MachineError

FORMATS = ("raw", "qcow2", "backed")
SIZE_MIB = 256  # as the guest sees it
ROOM_MIB = 32  # more for the tables
BASE_BYTE = 0xb5  # what a backing image is full of
LEAKS = 3  # exit code of qemu-img check: unused clusters, and that is all


def tool(name):
    """QEMU's own program NAME: beside the emulator, else the machine's."""
    beside = os.path.join(os.path.dirname(os.environ["KEMARI_QEMU"]), name)
    return beside if os.access(beside, os.X_OK) else name


def run(name, *arguments, good=(0,)):
    done = subprocess.run([tool(name), *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    if done.returncode not in good:
        raise MachineError(f"{name} {' '.join(arguments)}: "
                           f"{(done.stderr or done.stdout).strip()}")
    return done.stdout


def uri(socket):
    return f"nbd+unix:///?socket={socket}"


def fill_base(socket):
    """The backing image: the guest has not written what is in it."""
    run("qemu-io", "-f", "raw", "-c", f"write -P {BASE_BYTE} 0 {SIZE_MIB}M",
        uri(socket))


def format_qcow2(folder, socket, base=None):
    """An empty one, with BASE below it; whatever was there before."""
    path = os.path.join(folder, "empty.qcow2")
    backing = ["-b", uri(base), "-F", "raw"] if base else []
    run("qemu-img", "create", "-q", "-f", "qcow2", *backing, path,
        f"{SIZE_MIB}M")
    size = -(-os.path.getsize(path) // 512) * 512
    os.truncate(path, size)
    run("qemu-io", "-f", "raw", "-c", f"write -s {path} 0 {size}",
        uri(socket))
    os.unlink(path)


def check(socket):
    """Nobody writes to it: its tables must be whole. Clusters that were got
    for a write and not put in use before a kill are lost room, not damage.
    Returns their number."""
    said = json.loads(run("qemu-img", "check", "-f", "qcow2", "--output=json",
                          uri(socket), good=(0, 2, LEAKS)))
    wrong = {key: said[key] for key in ("check-errors", "corruptions")
             if said.get(key)}
    if wrong:
        raise MachineError(f"qemu-img check: {wrong}")
    return said.get("leaks", 0)


def prepared_cases(folder):
    """What x-kemari-prepare says of images: (a part of the message, or None
    where it is satisfied; QEMU's arguments)."""
    def create(name, *options):
        path = os.path.join(folder, name)
        run("qemu-img", "create", "-q", "-f", "qcow2", *options, path, "1M")
        return path

    def disk(path, wce="off", file="", table="", more=()):
        line = [*more, "-blockdev", "driver=file,node-name=f0,cache.direct=on,"
                f"filename={path}{file}",
                "-blockdev", f"driver=qcow2,node-name=d0,file=f0{table}"]
        return line + ["-device",
                       f"virtio-blk-pci,drive=d0,write-cache={wce}"]

    plain = create("plain.qcow2")
    yield None, disk(plain)
    yield "has a write cache", disk(plain, wce="on")
    scsi = disk(plain)[:-2] + ["-device", "virtio-scsi-pci,id=s0"]
    yield None, scsi + ["-device", "scsi-hd,drive=d0,write-cache=off"]
    yield "has a write cache", scsi + ["-device", "scsi-hd,drive=d0"]
    yield "page cache", disk(plain, file=",cache.direct=off")
    yield "no-flush", disk(plain, table=",cache.no-flush=on")
    yield "lazy refcounts", disk(create("lazy.qcow2", "-o",
                                        "lazy_refcounts=on"))
    yield "lazy refcounts", disk(plain, table=",lazy-refcounts=on")
    data = os.path.join(folder, "data.raw")
    yield "data file", disk(create("data.qcow2", "-o", f"data_file={data}"))
    bitmap = create("bitmap.qcow2")
    run("qemu-img", "bitmap", "--add", bitmap, "b0")
    yield "persistent bitmap 'b0'", disk(bitmap)
    below = ["-blockdev", "driver=file,node-name=f1,cache.direct=on,"
             f"filename={create('base.qcow2')}"]
    for form, more, why in (("qcow2", ",read-only=on", None),
                            ("qcow2", "", "writable"),
                            ("raw", "", "writable")):
        yield why, disk(plain, table=",backing=b0", more=below + [
            "-blockdev", f"driver={form},node-name=b0,file=f1{more}"])
    yield "format 'null-co'", disk(plain, table=",backing=b0", more=[
        "-blockdev", "driver=null-co,node-name=b0,read-only=on,size=1048576"])


def survives(folder, cache):
    """Whether what was completed is in a qcow2 image whose QEMU is killed."""
    path = os.path.join(folder, f"{cache}.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", path, "1M")
    with subprocess.Popen([tool("qemu-io"), "-f", "qcow2", "-t", cache, path],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        process.stdin.write("write -P 7 0 64k\n")
        process.stdin.flush()
        for line in process.stdout:
            if "wrote 65536/65536" in line:
                break
        process.kill()
    return "verification failed" not in run(
        "qemu-io", "-f", "qcow2", "-c", "read -P 7 0 64k", path, good=(0, 1))
