"""A first load within Zoho's own limits, on a compressed clock: headers from lists alone, details over days, webhooks
all the while. Real processes; at the usual speed a day of the quota lasts 43 s and a minute 30 ms.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text

from benchmarks import first_days_figures as figures
from benchmarks.first_days_environment import Environment, Plan, running_environment
from tds_core.sync.runs import request_run
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

SPEED, PER_DAY, EDITS_PER_SECOND = 2_000, 2_000, 3.0
USUAL = Plan(speed=SPEED, per_day=PER_DAY, edits_per_second=EDITS_PER_SECOND, sizes={})
#: The share of webhooks whose body is not whole, so that the record is read.
PARTIAL = 0.3
LOOK_SECONDS = 0.2
Say = Callable[[str], None]


def measure(
    plan: Plan = USUAL, *, headers_only: bool = False, days: float = 30, say: Say = lambda _said: None
) -> dict[str, Any]:
    """Play a first load, at most so many days of it, from the dawn of one on; figures by name."""
    with running_environment(plan) as environment:
        environment.send_webhooks(partial=PARTIAL)
        if not headers_only:
            environment.await_dawn()
        began = _clock(environment)
        _request_runs(environment)
        if plan.edits_per_second:
            environment.stand_in.start_edits(rate=plan.edits_per_second, seed=7)
        until = time.monotonic() + days * plan.day_seconds
        found = _headers(environment, plan, began, until)
        listed = _clock(environment)
        say(json.dumps(found))
        if not headers_only:
            found |= _details(environment, plan, until, say)
        ended = _clock(environment)
        environment.stand_in.stop_edits()
        with environment.engine.connect() as connection:
            found |= figures.latencies(connection, "headers", began, listed)
            found |= figures.latencies(connection, "details", listed, ended)
            found |= figures.order(connection, began)
        counted = figures.calls(environment.stand_in.state())
        return {**found, "calls_in_all": counted["lists"] + counted["records"], "refused_by_zoho": counted["refused"]}


def _request_runs(environment: Environment) -> None:
    with session_scope(environment.engine) as session:
        for entity in ENTITIES:
            request_run(session, entity=entity, mode="full", requested_by="benchmark")


def _headers(environment: Environment, plan: Plan, began: datetime, until: float) -> dict[str, Any]:
    """Wait until every list was read; what that took, and what TDS says of the rest at that moment."""
    while time.monotonic() < until:
        with environment.engine.connect() as connection:
            if not figures.open_runs(connection):
                break
        time.sleep(LOOK_SECONDS / 4)
    with environment.engine.connect() as connection:
        pages, ended = figures.lists_read(connection)
        rows, owed = figures.rows_of(connection), figures.details_due(connection)
    minutes = (ended - began).total_seconds() * plan.speed / 60
    return {
        "headers": sum(rows.values()),
        "headers_after_s": round((ended - began).total_seconds(), 1),
        "headers_after_zoho_minutes": round(minutes, 1),
        "list_calls": pages,
        "list_calls_least": sum(max(1, math.ceil(count / 200)) for count in rows.values()),
        "details_owed_then": owed,
    }


def _details(environment: Environment, plan: Plan, until: float, say: Say) -> dict[str, Any]:
    """Wait until every record was read whole; when that was, and when TDS had said it would be."""
    said = environment.quota()
    resets_at = {each["api"]: datetime.fromisoformat(each["resets_at"]) for each in said["days"]}
    dawn = resets_at["books"]
    named = [
        1 + _day(datetime.fromisoformat(each["ends_at"]), resets_at[each["api"]], plan) if each["ends_at"] else None
        for each in said["backlogs"]
        if each["call_count"]
    ]
    left_at_dawn: list[int] = []
    while time.monotonic() < until:
        with environment.engine.connect() as connection:
            left = figures.details_due(connection)
        now = _clock(environment)
        if _day(now, dawn, plan) >= len(left_at_dawn):
            left_at_dawn.append(left)
            calls = figures.calls(environment.stand_in.state())
            say(f"day {len(left_at_dawn)}: {left} details left; calls so far {calls}")
        if not left:
            break
        time.sleep(LOOK_SECONDS)
    return {
        "details_left": left,
        "details_left_at_dawn": left_at_dawn,
        "day_named": max(filter(None, named), default=None) if all(named) else None,
        "day_of_end": 1 + _day(now, dawn, plan) if not left else None,
    }


def _day(moment: datetime, resets_at: datetime, plan: Plan) -> int:
    """Which of Zoho's days a moment is in: 0 before `resets_at`, then 1, and so on."""
    return math.floor((moment - resets_at) / timedelta(seconds=plan.day_seconds)) + 1


def _clock(environment: Environment) -> datetime:
    """The database's time, which is what rows and events are stamped with."""
    with environment.engine.connect() as connection:
        return connection.execute(text("select clock_timestamp()")).scalar_one()  # type: ignore[no-any-return]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_days", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--speed", type=int, default=SPEED, help="how many times as fast minutes and days go by")
    parser.add_argument("--per-day", type=int, default=PER_DAY, help="Zoho's limit for a day")
    parser.add_argument("--edits", type=float, default=EDITS_PER_SECOND, help="changes a real second, told by webhook")
    parser.add_argument("--headers-only", action="store_true", help="end when every list was read")
    parser.add_argument("--sizes", type=json.loads, default={}, help="the stand-in's sizes, as JSON")
    chosen = parser.parse_args(arguments)
    plan = Plan(speed=chosen.speed, per_day=chosen.per_day, edits_per_second=chosen.edits, sizes=chosen.sizes)
    found = measure(plan, headers_only=chosen.headers_only, say=lambda said: print(said, file=sys.stderr, flush=True))
    _show(found, as_json=chosen.json)
    return 0


def _show(found: Mapping[str, Any], *, as_json: bool) -> None:
    print(json.dumps(found) if as_json else "\n".join(f"{name:28} {value!s}" for name, value in found.items()))


if __name__ == "__main__":
    raise SystemExit(main())
