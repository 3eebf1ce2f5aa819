#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Machine checks for rasdaemon and kemari-mced, and what each made of them.

rasdaemon-compare.py records intel|amd COUNT   the records, as text
rasdaemon-compare.py compare intel|amd OURS THEIRS

OURS is what kemari-mced --dump says, THEIRS what rasdaemon -f prints. The
class that is expected of us comes out of rasdaemon's words, not of the bits.
"""
import json
import random
import re
import sys

INTEL_CODES = (0x9F, 0x90, 0xC1, 0xA2, 0x134, 0x150, 0x17A, 0x151, 0x10, 0x19,
               0x0C, 0xE0B, 0xC0F, 0x400, 0x5, 0x108F, 0x110A)
AMD_CODES = (0x135, 0x11B, 0x151, 0x10, 0x19, 0xE0B, 0x813, 0x400)
# MCA_IPID: load-store, instruction fetch, L2, L3, coherent slave, power, UMC
AMD_BANKS = (0xB000000000, 0x100B000000000, 0x200B000000000, 0x700B000000000,
             0x2002E00000000, 0x1002E00000000, 0x9600150F00, 0x9600250F00)
COMMON = ((63, 1), (62, .2), (61, .5), (60, .9), (59, .5), (58, .5), (57, .15))


def bits(odds):
    return sum(1 << bit for bit, odd in odds if random.random() < odd)


def records(vendor, count):
    random.seed(5)
    seen = set()
    while len(seen) < count:
        status = bits(COMMON)
        if vendor == "intel":
            if status >> 61 & 1:
                status |= bits(((56, .5), (55, .5)))
            elif random.random() < .5:
                status |= random.randrange(1, 0x8000) << 38
            status |= random.choice(INTEL_CODES)
            number, cap, ipid = 0, 0x1000C14, 0
        else:
            status |= bits(((55, .2), (53, .3), (44, .3), (43, .2), (40, .1)))
            status |= random.choice(AMD_CODES)
            number, cap, ipid = 2, 0x117, random.choice(AMD_BANKS)
        if status in seen:
            continue
        print(f"{1 + len(seen) / 1000:.6f} mce:mce_record cpu=0"
              f" bank={5 + len(seen) % 4} cpuvendor={number} mcgcap={cap:#x}"
              f" status={status:#x} misc=0x8c addr=0x1000 ipid={ipid:#x}"
              f" cpuid=0x50654 walltime=1700000000")
        seen.add(status)


def expected_intel(said):
    """Class and whether it is memory, by rasdaemon's words."""
    mci = re.search(r"mci=(.*?), (mca|n_errors|cpu_type)=",
                    said)[1].split()
    corrupt = "Processor_context_corrupt" in mci
    if "Corrected_error" in mci:
        result = "unknown" if corrupt else "corrected"
    elif corrupt:
        result = "fatal"
    elif "SRAR" in mci:
        result = "action required" if "Error_enabled" in mci else "unknown"
    elif "SRAO" in mci:
        result = "action optional"
    elif "AR" in mci:
        result = "unknown"
    else:
        result = "deferred"
    return result, "MEMORY CONTROLLER" in said


def expected_amd(said):
    corrupt = "Processor_context_corrupt" in said
    poison = "Poison consumed" in said
    memory = "Unified Memory Controller" in said
    if "Corrected error, no action" in said:
        result = "unknown" if corrupt or poison else "corrected"
    elif "Deferred error" in said:
        # It says so whatever else there is; both at once make no sense.
        result = "deferred"
    elif "System Fatal error" in said:
        result = "fatal"
    elif "Uncorrected, software" in said:
        result = "fatal" if corrupt else "action required"
    else:
        result = "?"
    return result, memory


def compare(vendor, ours_path, theirs_path):
    ours = {}
    for line in open(ours_path, encoding="utf-8"):
        if line.startswith("{"):
            one = json.loads(line)
            ours[int(one["raw"]["status"], 16)] = one
    theirs = open(theirs_path, encoding="utf-8", errors="replace").read()
    wrong = count = 0
    classes = {}
    for said in re.split(r"\n?(?=\s+<\.\.\.>-\d+ )", theirs)[1:]:
        said = " ".join(said.split())
        found = re.search(r"status= ([0-9a-f]+)", said)
        if not found:
            continue
        status = int(found[1], 16)
        # It reads a file that ends once more, by another way.
        one = ours.pop(status, None)
        if not one:
            continue
        want, memory = (expected_intel if vendor == "intel"
                        else expected_amd)(said)
        if vendor == "amd" and one["class"] == "unknown" and (
                status >> 57 & 1 or status >> 61 & status >> 44 & 1):
            want = "unknown"  # what contradicts itself; rasdaemon chooses
        if one["class"] != want or (
                want != "unknown" and
                (one["source"] == "memory channel") != memory):
            print(f"{status:016x}: {one['class']}, {one['source']}, not "
                  f"{want}, memory {memory}: {said}")
            wrong += 1
        channel = re.search(r"memory_channel=(\d+)", said)
        if channel and memory and want != "unknown" and not re.search(
                rf" channel {channel[1]}$", one["name"]):
            print(f"{status:016x}: {one['name']}, not channel {channel[1]}")
            wrong += 1
        number = re.search(r"n_errors=(\d+)", said)
        if number and want == "corrected" and one["count"] != max(
                int(number[1]), 1):
            print(f"{status:016x}: {one['count']} errors, not {number[1]}")
            wrong += 1
        classes[want] = classes.get(want, 0) + 1
        count += 1
    print(f"{vendor}: {count} records, {len(ours)} unheard of by rasdaemon, "
          f"{wrong} differ; " +
          ", ".join(f"{n} {c}" for c, n in sorted(classes.items())))
    return 1 if wrong or ours or not count else 0


if __name__ == "__main__":
    if sys.argv[1] == "records":
        records(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(compare(*sys.argv[2:5]))
