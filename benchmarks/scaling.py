"""How many details a second 1, 2, 4 and 8 workers read from a source that answers after 200 ms.

Workers are started beside those that run, with TDS_WORKERS at 1 throughout: nothing but their number changes. Each runs
two tasks at once. `--per-minute` shows the same within a quota.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import psutil
from sqlalchemy import Engine, text

from benchmarks.drain import on_stage
from tds_core.sync.run_requests import request_records
from tds_core.worker_slots import living_workers
from tds_local import programs
from tds_local.stack import Stack
from tds_models.db import session_scope

WORKERS = (1, 2, 4, 8)
ANSWER_SECONDS = 0.2
INVOICES = 12_000
#: How long the throughput of a number of workers is measured, and how long they have to begin.
SECONDS, START_SECONDS = 30.0, 240.0
#: New workers commit after twenty records each; what they do before is not measured.
WARM_UP_SECONDS = 12.0
#: Calls at once the quota allows; more than eight workers with two tasks each need.
AT_ONCE = 32

_READ = text("select count(*) from erp.invoice")
_DUE = text("select exists (select from tds_sync_queue where lease_token is null)")
_BUSY = text("select count(distinct lease_token) from tds_sync_queue where lease_token is not null")


def measure(
    *,
    workers: Sequence[int] = WORKERS,
    seconds: float = SECONDS,
    invoices: int = INVOICES,
    per_minute: int = 0,
    warm_up: float = WARM_UP_SECONDS,
) -> dict[str, Any]:
    """Details a second by number of workers, how many times those of the first, and the cores that were busy."""
    environ = {
        "TDS_WORKERS": "1",
        "TDS_WORKER_CONCURRENCY": "2",
        "ZOHO_CONCURRENT_CALLS": str(AT_ONCE),
        "ZOHO_CALLS_PER_MINUTE": str(per_minute),
        "ZOHO_QUOTA_MARGIN_PERCENT": "0",
    }
    # The stand-in lets in as many calls at once as TDS may make: by itself it refuses the eleventh.
    options = {"blocking-threads": 64, "concurrent-calls": AT_ONCE}
    figures: dict[str, Any] = {"calls_per_minute": per_minute}
    with on_stage(5, invoices, options=options, environ=environ) as (stack, stand_in, engine):
        ids = [row["invoice_id"] for row in stand_in.dump("invoices")]
        stand_in.set_faults({"api": {"delay": 1.0}, "api_seconds": ANSWER_SECONDS})
        with session_scope(engine) as session:
            request_records(session, entity="invoice", source_ids=ids, requested_by="benchmark")
        started = 0
        for count in workers:
            _start(stack, range(started + 1, count + 1), with_dispatcher=not started)
            started = count
            _await_busy(engine, count)
            time.sleep(warm_up)
            before = psutil.cpu_times()
            figures[f"details_per_s_{count}"] = round(_per_second(engine, seconds), 1)
            figures[f"cores_busy_{count}"] = round(_cores_busy(before, psutil.cpu_times()), 2)
    first = figures[f"details_per_s_{workers[0]}"]
    return {
        **figures,
        **{f"times_{count}": round(figures[f"details_per_s_{count}"] / first, 2) for count in workers[1:]},
    }


def _cores_busy(before: Any, after: Any) -> float:
    """How many of the machine's cores computed between two readings, whatever they computed."""
    total, idle = sum(after) - sum(before), after.idle + after.iowait - before.idle - before.iowait
    return float((total - idle) / total * (psutil.cpu_count() or 1)) if total else 0.0


def _start(stack: Stack, numbers: range, *, with_dispatcher: bool) -> None:
    for number in numbers:
        stack.processes.launch(programs.worker(stack.settings, number))
    if with_dispatcher:
        stack.processes.launch(next(each for each in programs.programs_of(stack.settings) if each.name == "dispatcher"))


def _await_busy(engine: Engine, workers: int) -> None:
    """Wait until all of them have reported and every slot holds work."""
    until = time.monotonic() + START_SECONDS
    while True:
        with session_scope(engine) as session:
            living = living_workers(session)
            busy = int(session.execute(_BUSY).scalar_one())
        if living.worker_count == workers and busy >= living.slot_count:
            return
        if time.monotonic() > until:
            raise RuntimeError(f"{busy} of {living.slot_count} slots of {living.worker_count} workers hold work")
        time.sleep(0.2)


def _per_second(engine: Engine, seconds: float) -> float:
    def count() -> int:
        with engine.connect() as connection:
            return int(connection.execute(_READ).scalar_one())

    before, began = count(), time.perf_counter()
    time.sleep(seconds)
    # What is read together is counted together: a short span may see nothing of it yet.
    while count() == before and time.perf_counter() < began + START_SECONDS:
        time.sleep(0.2)
    per_second = (count() - before) / (time.perf_counter() - began)
    with engine.connect() as connection:
        if not connection.execute(_DUE).scalar():
            raise RuntimeError("There was too little to read: make more invoices")
    return per_second


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--per-minute", type=int, default=0, help="calls a minute the quota allows; 0: no limit")
    chosen = parser.parse_args(arguments)
    figures = measure(seconds=chosen.seconds, per_minute=chosen.per_minute)
    print(
        json.dumps(figures) if chosen.json else "\n".join(f"{name:24} {value:>10}" for name, value in figures.items())
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
