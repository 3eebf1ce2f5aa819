# SPDX-License-Identifier: GPL-2.0-or-later
"""What kills says of a run, and of all."""

KILLS = ("kill", "kill-early", "double-kill")
COUNTED = ("lost", "early", "duplicated", "resets", "clock_backwards",
           "reboots")


def percentiles(values):
    if not values:
        return None
    values = sorted(values)
    at = len(values) - 1
    return {"p50": values[at // 2], "p95": values[at * 95 // 100],
            "max": values[-1], "count": len(values)}


def _by(key, names, results, measured):
    """How many RESULTS have each of the NAMES, and the blackouts of those
    that are MEASURED."""
    return {name: {"runs": sum(r[key] == name for r in results),
                   "blackout_ms": percentiles(
                       [r["blackout_ms"] for r in measured
                        if r[key] == name and r.get("blackout_ms")])}
            for name in names}


def summary(arguments, results, scenarios, loads):
    """What --json says of all RESULTS."""
    total = {"runs": len(results), "seed": arguments.seed,
             "accel": arguments.accel, "tls": arguments.tls}
    for name in COUNTED:
        total[name] = sum(r.get("client", {}).get(name, 0) for r in results)
    total["failed_runs"] = [r for r in results if "failure" in r]
    total["takeover_ms"] = percentiles(
        [ms for r in results for ms in r["takeover_ms"]])
    killed = [r for r in results if r["scenario"] in KILLS]
    total["blackout_ms"] = percentiles(
        [r["blackout_ms"] for r in killed if r.get("blackout_ms")])
    for what in ("freeze_us", "hold_us", "ack_us"):
        total[what] = {
            name: percentiles([r[what][name] for r in results if what in r])
            for name in ("p50", "p95", "p99")}
    total["reasons"] = {}
    for result in results:
        for name, count in result.get("reasons", {}).items():
            total["reasons"][name] = total["reasons"].get(name, 0) + count
    total["clock"] = [r["clock"] for r in results if "clock" in r]
    total["poison"] = {how: sum(r.get("poison") == how for r in results)
                       for how in ("told", "read")}
    total["by_scenario"] = _by("scenario", scenarios, results, results)
    total["by_load"] = _by("load", loads, results, killed)
    total["acknowledged"] = sum(
        r.get("client", {}).get("acknowledged", 0) for r in results)
    return total


def say(runs, result):
    freeze = result.get("freeze_us", {})
    print(f"run {result['run'] + 1}/{runs} {result['scenario']} "
          f"{result['load']}, {result.get('shape', 'no machine')}: "
          f"{result.get('failure', 'good')}; takeover "
          f"{result['takeover_ms']} ms, blackout "
          f"{result.get('blackout_ms')} ms, freeze {freeze.get('p50')}/"
          f"{freeze.get('p95')} us, held "
          f"{result.get('hold_us', {}).get('p50')} us, acknowledged "
          f"{result.get('client', {}).get('acknowledged')}, "
          f"{result['seconds']} s" +
          (f"; engine: {result['engine']}" if "engine" in result else "") +
          (f"; clock: {result['clock']}" if "clock" in result else "") +
          (f"; the page was {result['poison']}" if "poison" in result
           else "") +
          (f"; logs in {result['logs']}" if "logs" in result else ""),
          flush=True)
