"""What grows with history, and what does not: a burst of 64 webhooks taken in, a claim, 100 webhooks applied, a
record's story, a list, and figures, with 10,000, 1,000,000 and, if asked for, 10,000,000 events behind them.

Versions of records are two fifths of the events, records a tenth. The database is in memory where there is room, so
what a disk takes is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Engine, text

from benchmarks.ingest import SECRET
from benchmarks.list_endpoints import TOKEN, client_of, filled
from benchmarks.seed import FIRST_ID, Size
from benchmarks.webhook_database import delivery_of
from tds_core.inbox.receive import receive
from tds_core.observability.logging import configure_logging
from tds_core.queue import claim as queue_claim
from tds_core.queue.items import Claim
from tds_models.db import make_engine, session_scope
from tds_tasks import worker_nudges
from tds_tasks.context import settings
from tds_tasks.work_batches import drain

EVENTS, ROUNDS = (10_000, 1_000_000), 15
BURST, BATCH = 64, 100

#: By their names in the figures.
QUESTIONS = {
    "explain": f"explain/product/{FIRST_ID + 7}",
    "events": "zoho/webhooks/recent",
    "queue_stats": "queue/stats",
    "products": "entities/product",
    "stats": "stats/combined",
}
_ONLY_NEW = text("delete from tds_sync_queue where entity = 'product'")
#: Rows of the seed know nothing of their history.
_PUT_BACK = text("""
update erp.product p set source_modified_at = source_modified_at - interval '1 day', version = coalesce(
    (select max(version) from tds_audit_trail t where t.entity = 'product' and t.source_id = p.source_id), p.version)
where source_id = any(:ids)
""")
_APPLIED = text("select count(*) from erp.product where price = :price and version > 1")


def size_of(events: int) -> Size:
    """A database with so many events, and the rest in proportion."""
    return Size(
        events=events, attempts=events // 5, letters=max(100, events // 500), runs=max(100, events // 500),
        changes=events * 2 // 5, records=max(500, events // 10),
    )  # fmt: skip


def measure(events: tuple[int, ...] = EVENTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Milliseconds, medians, by what is done and how many events there are."""
    figures: dict[str, Any] = {}
    for count in events:
        with filled(size_of(count)) as (url, _), tempfile.TemporaryDirectory(prefix="tds-bench-") as home:
            for name, milliseconds in _of_database(url, home, rounds).items():
                figures[f"{name}_ms_of_{count}"] = milliseconds
    return figures


def _of_database(url: str, home: str, rounds: int) -> dict[str, float]:
    given = {
        "TDS_DATABASE_URL": url, "TDS_HOME": home, "ZOHO_WEBHOOK_SECRET": SECRET, "TDS_API_TOKEN": TOKEN,
        "TDS_SECRET_KEY": Fernet.generate_key().decode(),
    }  # fmt: skip
    argv = [sys.executable, "-m", "benchmarks.history_growth", "--child", str(rounds)]
    done = subprocess.run(argv, env={**os.environ, **given}, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def measured(rounds: int) -> dict[str, float]:
    """In the process that is measured, whose settings name the database."""
    with Path(os.devnull).open("w") as nowhere:
        configure_logging(settings(), process="benchmark", stream=nowhere)
        worker_nudges._send = lambda *_: None  # type: ignore[assignment]
        engine = make_engine(settings().database_url, pool_size=2)
        with engine.begin() as connection:
            connection.execute(_PUT_BACK, {"ids": [str(FIRST_ID + each) for each in range(6 * BATCH)]})
        figures = {"intake_64": _median(rounds, lambda number: _take_in(engine, BURST, number))}
        with session_scope(engine) as session:  # more than are claimed are due
            receive(session, _deliveries(3 * BATCH, 0, 2), duplicate_window_seconds=600)
        figures["claim_100"] = _median(rounds, lambda _: _claim(engine))
        with engine.begin() as connection:
            connection.execute(_ONLY_NEW)
        figures["apply_100"] = _median(rounds, lambda number: _apply(engine, number))
        client, close = client_of(settings().database_url)
        token = {"Authorization": f"Bearer {TOKEN}"}
        for name, path in QUESTIONS.items():
            figures[name] = _median(rounds, lambda _, path=path: _timed(lambda: _ask(client, path, token)))
        close()
        engine.dispose()
    return figures


def _median(rounds: int, step: Callable[[int], float]) -> float:
    """Milliseconds; the first two rounds warm up."""
    return round(statistics.median([step(number) for number in range(rounds + 2)][2:]) * 1000, 2)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _deliveries(count: int, number: int, series: int) -> list[Any]:
    """New events of products that live: of the deleted ones Zoho would be asked."""
    living = [each for each in range(2 * count) if each % 10][:count]
    # Newer than the rows, which are put back by a day, and newer than those of the round before.
    changed_at = datetime.now(UTC) - timedelta(hours=12) + timedelta(minutes=series * 100 + number)
    return [delivery_of(FIRST_ID + each, changed_at, series * 1000 + number + 0.5) for each in living]


def _take_in(engine: Engine, count: int, number: int) -> float:
    deliveries = _deliveries(count, number, 1)

    def stored() -> None:
        with session_scope(engine) as session:
            receive(session, deliveries, duplicate_window_seconds=600)

    return _timed(stored)


def _claim(engine: Engine) -> float:
    with session_scope(engine) as session:
        claims: list[Claim | None] = []
        took = _timed(
            lambda: claims.append(
                queue_claim.claim(session, entity="product", limit=BATCH, lease_seconds=60, worker="benchmark")
            )
        )
        session.rollback()
    if not claims[0] or len(claims[0].items) != BATCH:
        raise RuntimeError("Fewer items are due than are to be claimed.")
    return took


def _apply(engine: Engine, number: int) -> float:
    with session_scope(engine) as session:
        receive(session, _deliveries(BATCH, number, 3), duplicate_window_seconds=600)
    took = _timed(lambda: drain("product", budget_seconds=600))
    with engine.connect() as connection:
        applied = connection.execute(_APPLIED, {"price": 3 * 1000 + number + 0.5}).scalar_one()
    if applied != BATCH:
        raise RuntimeError(f"{applied} of {BATCH} webhooks were applied.")
    return took


def _ask(client: Any, path: str, token: dict[str, str]) -> None:
    answer = client.get(f"/api/tds/{path}", headers=token)
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:200]}")


def main() -> None:
    """Command line: `python -m benchmarks.history_growth [--events N,N] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", default=",".join(map(str, EVENTS)))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    figures = measured(chosen.child) if chosen.child else measure(tuple(map(int, chosen.events.split(","))))
    print(json.dumps(figures) if chosen.json or chosen.child else "\n".join(f"{k:32} {v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
