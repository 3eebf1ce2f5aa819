# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether what query-kemari counts adds up."""

BUCKETS = 32
SAMPLES = 1024
# releases that are still to come in the main loop when it is asked
UNDER_WAY = 2


def lowest(bucket):
    return 0 if bucket == 0 else 1 << bucket - 1


def percentile(times, percent):
    """The duration that PERCENT of the samples are below, of the histogram:
    the upper bound of a bucket."""
    seen = 0
    for bucket, count in enumerate(times["log2"]):
        seen += count
        if seen * 100 >= times["count"] * percent:
            return 1 << bucket
    return 0


def times_wrong(name, times):
    log2 = times["log2"]
    if sum(log2) != times["count"]:
        return f"{name}: {sum(log2)} in buckets of {times['count']}"
    if len(log2) > BUCKETS or (log2 and log2[-1] == 0):
        return f"{name}: buckets {log2}"
    if not log2:
        return None
    low = sum(lowest(n) * count for n, count in enumerate(log2))
    high = sum(((1 << n) - 1) * count for n, count in enumerate(log2))
    if len(log2) < BUCKETS and not low <= times["sum"] <= high:
        return f"{name}: sum {times['sum']} is not in {low} to {high}"
    if times["max"] < lowest(len(log2) - 1) or \
            (len(log2) < BUCKETS and times["max"] >= 1 << len(log2) - 1):
        return f"{name}: {times['max']} is not in the last of {log2}"
    if not times["p50"] <= times["p95"] <= times["p99"] <= times["max"]:
        return f"{name}: percentiles {times}"
    if times["count"] <= SAMPLES:
        for percent in (50, 95, 99):
            exact = times[f"p{percent}"]
            bound = percentile(times, percent)
            # one sample more or less decides where few are
            if times["count"] >= 200 and not bound / 4 <= exact <= bound * 2:
                return (f"{name}: p{percent} {exact}, below {bound} in the "
                        "histogram")
    return None


def primary_wrong(info, confirmed):
    """INFO of a primary whose checkpoint CONFIRMED was the last before its
    output went out. Returns what does not add up, or None."""
    reasons = {r["reason"]: r["count"] for r in info["reasons"]}
    taken = info["checkpoints"]
    if info["checkpoint"] != taken:
        return f"checkpoint {info['checkpoint']} is the {taken}th"
    if sum(reasons.values()) != taken:
        return f"{reasons} are not {taken} checkpoints"
    if reasons["first"] != (taken > 0):
        return f"{reasons['first']} first checkpoints"
    if info["large"] > taken:
        return f"{info['large']} large ones of {taken} checkpoints"
    if info["ack-us"]["count"] != taken:
        return f"{info['ack-us']['count']} acknowledgements of {taken}"
    if not 0 <= info["freeze-us"]["count"] - taken <= 1:
        return f"{info['freeze-us']['count']} freezes for {taken}"
    held = info["hold-us"]["count"]
    wanted = sum(reasons[name] for name in ("write", "packet", "device"))
    if held > taken or held < wanted - confirmed - UNDER_WAY:
        return (f"output of {held} checkpoints was released; {wanted} of "
                f"{taken} were taken for it")
    if info["apply-us"]["count"]:
        return "a primary applies nothing"
    return _common_wrong(info)


def standby_wrong(info):
    """The same, of a standby whose stream is over."""
    if info["apply-us"]["count"] != info["checkpoints"]:
        return (f"{info['apply-us']['count']} of {info['checkpoints']} "
                "checkpoints were applied")
    if info["checkpoint"] != info["checkpoints"]:
        return (f"checkpoint {info['checkpoint']} is the "
                f"{info['checkpoints']}th")
    for name in ("freeze-us", "hold-us", "ack-us"):
        if info[name]["count"]:
            return f"a standby has {name}"
    if any(r["count"] for r in info["reasons"]):
        return "a standby has reasons"
    return _common_wrong(info)


def _common_wrong(info):
    if info["bytes"] < info["pages"] * 4096:
        return f"{info['pages']} pages in {info['bytes']} bytes"
    for name in ("freeze-us", "hold-us", "ack-us", "apply-us"):
        wrong = times_wrong(name, info[name])
        if wrong:
            return wrong
    return None
