# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that dirties memory several times as fast as its link carries it."""

from machine import MachineError

WORDS = "witness.load=full:96 witness.writers=1"
MEMORY_MIB = 192
LINK_MBIT = 400
STAGING = 64 << 20
POLICIES = ("throttle", "wait", "unprotected")
# of an emulator, whatever its guest has; where it runs, with translated code
OVERHEAD_KIB = {"standby": 48 << 10, "primary": 160 << 10}


def arguments(policy):
    """For x-kemari-prepare. Copying a checkpoint of 24 MiB takes long on a
    machine that has other things to do; how long is not the question."""
    return {"staging": STAGING, "overload": policy, "timeout_ms": 5000}


def check(primary, standby, policy):
    """The guest is held, the engine says so, and neither side has more memory
    than it may. Returns what query-kemari said, and what is to be noted."""
    event = primary.await_overload(True)
    if event["policy"] != policy or not event["throttle"]:
        raise MachineError(f"KEMARI_OVERLOAD says {event}")
    state = primary.kemari()
    overload = state["overload"]
    if overload["policy"] != policy or not overload["pauses"] or \
            overload["staging"] != STAGING:
        raise MachineError(f"query-kemari says {overload}")
    # it is of the last second, so it may have become 0 in between
    shown = primary.command("query-migrate").get("cpu-throttle-percentage")
    if overload["active"] and not shown and primary.kemari()["throttle"]:
        raise MachineError("query-migrate shows no throttling")
    for machine in (primary, standby):
        largest = machine.kemari()["overload"]["largest"]
        if not 0 < largest <= STAGING:
            raise MachineError(f"{machine.name}: a checkpoint of {largest} "
                               "bytes")
    peak = {"primary": primary.memory_kib("VmHWM"),
            "standby": standby.memory_kib("VmHWM")}
    for side, kib in peak.items():
        limit = MEMORY_MIB * 1024 * 11 // 10 + STAGING // 1024 + \
            OVERHEAD_KIB[side]
        if kib > limit:
            raise MachineError(f"the {side} has {kib} KiB, not {limit}")
    return state, dict(overload, throttle=state["throttle"], peak_kib=peak)
