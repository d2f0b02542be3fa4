"""Hours of all of TDS under steady changes: the memory of each program, alerts, and whether both sides are equal in the
end. Memory that grows is a leak: each program's in the last quarter is held against its second quarter, once caches and
pools are filled. A worker's children are replaced after 5,000 tasks or at 400 MB, as always.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from sqlalchemy import text

from benchmarks.running import loaded
from tds_core.sync import mass_change_guard
from tds_lab.comparison.mirror_comparison import compare
from tds_lab.demo import phases
from tds_lab.testbed import Environment
from tds_lab.zoho_stand_in import faults, rules
from tds_local.stack import Stack
from tds_models.db import session_scope

HOURS, RATE, SAMPLE_SECONDS = 2.0, 5.0, 60.0

_FIRED = text("select rule, subject from tds_alert_transitions where to_state = 'firing' and at >= :since order by at")
_HELD = text("select id from tds_sync_runs where state = 'held'")
_LETTERS = text("select count(*) from tds_dead_letter_queue")

Sample = Mapping[str, float]


def memory_mb(stack: Stack) -> dict[str, float]:
    """The memory of each program with its children, in MB; what processes share is divided among them.

    The stand-in for Zoho is no part of TDS, and keeps all it ever did.
    """
    pids = {name: running.pid for name, running in stack.processes.running.items()}
    pids |= {name: server.pid for name, server in stack.servers.items() if server.pid}
    return {name: round(_family_mb(pid), 1) for name, pid in pids.items() if name != "zoho-stand-in"}


def _family_mb(pid: int) -> float:
    total = 0
    with suppress(psutil.Error):
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with suppress(psutil.Error):
                used = process.memory_full_info()
                total += getattr(used, "pss", used.uss)
    return total / 1024**2


def growth(samples: list[Sample]) -> dict[str, float]:
    """Of each program: MB more in the last quarter than in the second one, by their medians."""
    quarter = max(1, len(samples) // 4)
    before, after = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return {
        name: round(median(each[name] for each in after) - median(each[name] for each in before), 1)
        for name in samples[-1]
        if all(name in each for each in samples)
    }


def measure(
    hours: float = HOURS, rate: float = RATE, sample_seconds: float = SAMPLE_SECONDS, size: str = "usual"
) -> dict[str, Any]:
    """The run; figures by name."""
    with loaded(size) as environment:
        return _run(environment, hours, rate, sample_seconds)


def _run(environment: Environment, hours: float, rate: float, sample_seconds: float) -> dict[str, Any]:
    stand_in, secret = environment.stand_in, environment.stack.settings.zoho_webhook_secret
    stand_in.set_rules(list(rules(environment.stack.urls["webhooks"], secret)))
    stand_in.set_faults(faults(0.0))
    with environment.engine.connect() as connection:
        since = connection.execute(text("select clock_timestamp()")).scalar_one()
    stand_in.start_edits(rate=rate, seed=7)
    samples: list[Sample] = []
    until = time.monotonic() + hours * 3600
    while time.monotonic() < until:
        time.sleep(min(sample_seconds, max(0.0, until - time.monotonic())))
        samples.append(memory_mb(environment.stack))
        left = max(0.0, until - time.monotonic())
        print(f"{left / 60:5.0f} min left, {json.dumps(samples[-1])}", file=sys.stderr, flush=True)
    edits = stand_in.stop_edits()
    left_over = phases.wait_until_quiet(environment)
    swept = phases.sweep(environment, also_full=True)
    _approve_held(environment)
    with environment.engine.connect() as connection:
        found = compare(connection, stand_in)
        fired = [f"{rule} {subject}".strip() for rule, subject in connection.execute(_FIRED, {"since": since})]
        letters = connection.execute(_LETTERS).scalar_one()
    grown = growth(samples)
    print(f"alerts: {fired}", *found.differences[:20], sep="\n", file=sys.stderr)
    return {
        "hours": hours,
        "edits": edits,
        "owed": left_over.events + left_over.items + left_over.runs,
        "healed_by_the_last_sweep": swept.healed_count,
        "differences": len(found.differences),
        "records": found.record_count,
        "dead_letters": letters,
        "alerts_fired": len(fired),
        "memory_mb": round(sum(samples[-1].values())),
        **{f"{name}_mb": value for name, value in samples[-1].items()},
        **{f"{name}_grown_mb": value for name, value in grown.items()},
        "most_grown_mb": max(grown.values(), default=0.0),
        "most_grown_percent": _most_percent(samples, grown),
    }


def _approve_held(environment: Environment) -> None:
    """Approve held runs, as an operator would: a few edits can delete most of a small list."""
    with session_scope(environment.engine) as session:
        held = list(session.execute(_HELD).scalars())
        for run_id in held:
            mass_change_guard.approve(session, run_id, by="benchmark")
    if held:
        phases.wait_until_quiet(environment)


def _most_percent(samples: list[Sample], grown: Mapping[str, float]) -> float:
    """The largest growth, as a share of what its program holds. PostgreSQL and Redis hold the data, which grows."""
    own = [name for name in grown if name not in ("PostgreSQL", "Redis")]
    return round(max((100 * grown[name] / samples[-1][name] for name in own), default=0.0), 1)


def main() -> None:
    """Command line: `python -m benchmarks.soak [--hours N] [--rate N] [--json FILE]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=HOURS)
    parser.add_argument("--rate", type=float, default=RATE, help="changes a second")
    parser.add_argument("--json", type=Path, help="also into this file")
    chosen = parser.parse_args()
    figures = measure(chosen.hours, chosen.rate)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures))
    print("\n".join(f"{key:32} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
