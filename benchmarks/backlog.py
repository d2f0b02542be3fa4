"""How steadily workers empty a queue of 1,000,000 records that webhooks brought: the rate of each tenth, and memory.

A queue in a table can become slower as it empties: what is done leaves dead rows behind, in the table and at the very
place of the index where the next claim looks. The floor is the median tenth.
"""

import argparse
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise
from statistics import median
from typing import Any

from sqlalchemy import Engine, text

from benchmarks.drain import CONNECTIONS, accepted, on_stage, start_workers
from benchmarks.ingest import request_of
from benchmarks.load import press
from benchmarks.soak import memory_mb
from benchmarks.webhook_database import body_of
from tds_models.db import UNLIMITED, make_engine

ITEMS = 1_000_000
#: So many requests are made beforehand at a time: a million would fill the memory.
AT_ONCE = 20_000
LOOK_SECONDS, PARTS = 0.5, 10
FIRST_ID, CHANGED_AT = 4_600_000_000_000_000, datetime(2026, 11, 22, 9, tzinfo=UTC)

# The mirror knows them all, as it does where a queue grows long.
_PRODUCTS = text("""
insert into erp.product (source, source_id, name, sku, price, status, version, source_modified_at, source_record,
    changed_at, confirmed_at)
select 'zoho', (:first + n)::text, 'Widget ' || (:first + n), 'W-' || (:first + n), 0, 'active', 1,
    now() - interval '1 year', '{}', now(), now()
from generate_series(0, :count - 1) n
""")
# A product without its new price, or a price without its one entry in the history, or with two.
_WRONG = text("""
select count(*) from erp.product p
left join (select source_id, count(*) from tds_audit_trail where entity = 'product' group by source_id) h
    using (source_id)
where p.price <> (p.source_id::bigint - :first) % 997 + 0.5 or h.count is distinct from 1
""")
# What was done has left the queue. PostgreSQL counts it for nothing, and is a second behind while work goes on.
_GONE = text("select n_tup_del from pg_stat_user_tables where relname = 'tds_sync_queue'")
_LEFT = text("select exists (select from tds_sync_queue where entity = 'product')")
_QUEUE_BYTES = text("select pg_total_relation_size('tds_sync_queue')")


def bodies(count: int) -> Iterator[bytes]:
    """Webhooks of a new price of so many products, 1.2 KB each."""
    for number in range(count):
        yield body_of(FIRST_ID + number, CHANGED_AT, number % 997 + 0.5)  # as _WRONG expects it


def measure(items: int = ITEMS) -> dict[str, Any]:
    """The figures of one run."""
    with on_stage(5, 5) as (stack, _, engine):
        secret, port = stack.settings.zoho_webhook_secret, stack.settings.port
        patient = make_engine(stack.settings.database_url, pool_size=1, timeouts=UNLIMITED)
        with patient.begin() as connection:
            connection.execute(_PRODUCTS, {"first": FIRST_ID, "count": items})
        intake_seconds = 0.0
        made = (request_of(body, secret=secret) for body in bodies(items))
        while requests := list(islice(made, AT_ONCE)):
            intake_seconds += accepted(press(port, requests, connections=CONNECTIONS)).elapsed_seconds
        start_workers(stack)
        marks = _emptied(engine, items)
        with patient.connect() as connection:
            wrong = int(connection.execute(_WRONG, {"first": FIRST_ID}).scalar_one())
            queue_bytes = int(connection.execute(_QUEUE_BYTES).scalar_one())
        memory = memory_mb(stack)
        patient.dispose()
    rates = rates_of(marks)
    return {
        "items": items,
        "intake_per_s": round(items / intake_seconds),
        "drained_per_s": round((marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])),
        **{f"part_{number}_per_s": round(rate) for number, rate in enumerate(rates, 1)},
        "median_part_per_s": round(median(rates)),
        "slowest_part_per_s": round(min(rates)),
        "queue_mb_when_empty": round(queue_bytes / 1e6, 1),
        **{f"{name}_mb": memory[name] for name in memory if name.startswith(("worker-", "api"))},
        "undone_or_doubled": wrong,
    }


def _emptied(engine: Engine, items: int) -> list[tuple[float, int]]:
    """Seconds and how many were done by then, from the first look that found any to the end."""
    with engine.connect() as connection:
        before = int(connection.execute(_GONE).scalar_one())
    marks: list[tuple[float, int]] = []
    while True:
        time.sleep(LOOK_SECONDS)
        with engine.connect() as connection:
            done = int(connection.execute(_GONE).scalar_one()) - before
            is_empty = not connection.execute(_LEFT).scalar()
        if is_empty:
            end = (time.perf_counter(), items)
            return [*marks, end] if marks else [(end[0] - LOOK_SECONDS, 0), end]
        if done > (marks[-1][1] if marks else 0):
            marks.append((time.perf_counter(), min(done, items)))


def rates_of(marks: list[tuple[float, int]], parts: int = PARTS) -> list[float]:
    """Records a second in each of `parts` equal parts of the work between the first mark and the last."""
    (_, first), (_, last) = marks[0], marks[-1]
    edges = [_time_of(marks, first + (last - first) * number / parts) for number in range(parts + 1)]
    size = (last - first) / parts
    return [size / (end - begin) for begin, end in pairwise(edges)]


def _time_of(marks: list[tuple[float, int]], done: float) -> float:
    """When so many were done, between the marks around it in proportion."""
    for (begin, before), (end, after) in pairwise(marks):
        if before <= done <= after and after > before:
            return begin + (end - begin) * (done - before) / (after - before)
    return marks[-1][0]


def main() -> int:
    """Command line: `python -m benchmarks.backlog [--items N] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.items < 1:
        parser.error("--items has to be 1 at least")
    figures = measure(chosen.items)
    print(json.dumps(figures) if chosen.json else "\n".join(f"{key:28} {value}" for key, value in figures.items()))
    return 1 if figures["undone_or_doubled"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
