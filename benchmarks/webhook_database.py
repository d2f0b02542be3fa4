"""What a webhook costs PostgreSQL until it is a row: statements, transactions and bytes of its log, by how many come
at once. Each is a change of one field of a product that the mirror has.

In a process of its own, with the statements of one committer and one worker; a bare statement that inserts the event
and one that updates the row are beside it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from sqlalchemy import Engine, event, text

from benchmarks.ingest import SECRET
from tds_api.inbox.group_commit import InboxWriter
from tds_core.inbox.receive import Delivery
from tds_core.observability.logging import configure_logging
from tds_core.schema.migrations import upgrade
from tds_core.sources.zoho.webhooks.parser import parse
from tds_local.embedded import EmbeddedPostgres
from tds_models.db import make_engine
from tds_tasks import worker_nudges
from tds_tasks.context import settings
from tds_tasks.work_batches import drain

BURSTS, ROUNDS = (1, 10, 100), 9

_LOG = text("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
_APPLIED = text("select count(*) from erp.product where price = :price")
_FLOOR_EVENT = text("""
insert into floor_events (source_id, body) select * from unnest(cast(:ids as text[]), cast(:bodies as text[]))
""")
_FLOOR_ROW = text("""
update floor_rows r set body = b.body from unnest(cast(:ids as text[]), cast(:bodies as text[])) as b(id, body)
where r.source_id = b.id
""")


class Counts:
    """Statements and transactions of this process, and the bytes of the server's log."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.statements = self.transactions = 0
        event.listen(Engine, "before_cursor_execute", self._count_statement)
        event.listen(Engine, "commit", self._count_transaction)

    def taken(self) -> tuple[int, int, int]:
        """Statements, transactions and bytes so far."""
        counted = self.statements, self.transactions
        with self._engine.connect() as connection:
            written = int(connection.execute(_LOG).scalar_one())
        self.statements, self.transactions = counted
        return *counted, written

    def _count_statement(self, *_: Any) -> None:
        self.statements += 1

    def _count_transaction(self, *_: Any) -> None:
        self.transactions += 1


def measure(bursts: tuple[int, ...] = BURSTS, rounds: int = ROUNDS) -> dict[str, Any]:
    """The figures of each size of burst, a webhook each; medians."""
    with tempfile.TemporaryDirectory(prefix="tds-bench-") as home:
        Path(home).chmod(0o755)
        with EmbeddedPostgres(Path(home)) as server:
            upgrade(server.url)
            given = {
                "TDS_DATABASE_URL": server.url,
                "TDS_HOME": home,
                "ZOHO_WEBHOOK_SECRET": SECRET,
                "TDS_SECRET_KEY": Fernet.generate_key().decode(),
            }
            argv = [sys.executable, "-m", "benchmarks.webhook_database", "--child", str(rounds), *map(str, bursts)]
            done = subprocess.run(argv, env={**os.environ, **given}, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def measured(bursts: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """In the process that is measured."""
    with Path(os.devnull).open("w") as nowhere:
        configure_logging(settings(), process="benchmark", stream=nowhere)
        worker_nudges._send = lambda *_: None  # type: ignore[assignment]
        url = settings().database_url
        watcher, engine = make_engine(url, pool_size=1), make_engine(url, pool_size=1)
        counts = Counts(watcher)
        writer = InboxWriter(engine, duplicate_window_seconds=lambda: 600.0)
        figures: dict[str, Any] = {}
        for burst in bursts:
            steps = [_round(counts, watcher, writer, burst, number) for number in range(rounds + 2)][2:]
            floors = [_floor_round(counts, watcher, burst, number) for number in range(rounds + 2)][2:]
            for name in steps[0]:
                figures[f"{name}_of_{burst}"] = _each(steps, name, burst)
            figures[f"floor_log_bytes_of_{burst}"] = _each(floors, "log_bytes", burst)
        writer.close()
    return figures


def _each(rounds: list[dict[str, int]], name: str, burst: int) -> float:
    return round(statistics.median(each[name] for each in rounds) / burst, 2)


def _round(counts: Counts, watcher: Engine, writer: InboxWriter, burst: int, number: int) -> dict[str, int]:
    """A burst taken in and applied; the first of each size makes the rows."""
    price = number + 1.5
    before = counts.taken()
    writer.write([delivery_of(_id(burst, each), _changed_at(number), price) for each in range(burst)])
    stored = counts.taken()
    drain("product", budget_seconds=600)
    applied = counts.taken()
    with watcher.connect() as connection:
        found = connection.execute(_APPLIED, {"price": price}).scalar_one()
    if found < burst:
        raise RuntimeError(f"{found} of {burst} webhooks became rows.")
    return {
        "intake_statements": stored[0] - before[0],
        "worker_statements": applied[0] - stored[0],
        "worker_transactions": applied[1] - stored[1],
        "intake_log_bytes": stored[2] - before[2],
        "worker_log_bytes": applied[2] - stored[2],
    }


def _floor_round(counts: Counts, watcher: Engine, burst: int, number: int) -> dict[str, int]:
    """The same bodies stored as events and as rows, with an index each and nothing around them."""
    ids = [str(each) for each in range(burst)]
    bodies = [body_of(_id(burst, each), _changed_at(number), number + 1.5).decode() for each in range(burst)]
    with watcher.begin() as connection:
        if number == 0:
            connection.execute(text("drop table if exists floor_events, floor_rows"))
            connection.execute(text("create table floor_events (id bigserial primary key, source_id text, body text)"))
            connection.execute(text("create table floor_rows (source_id text primary key, body text)"))
            connection.execute(text("insert into floor_rows select n::text, '' from generate_series(0, 999) n"))
    before = counts.taken()
    for statement in (_FLOOR_EVENT, _FLOOR_ROW):
        with watcher.begin() as connection:
            connection.execute(statement, {"ids": ids, "bodies": bodies})
    return {"log_bytes": counts.taken()[2] - before[2]}


def _changed_at(number: int) -> datetime:
    return datetime(2026, 11, 22, 9, number, tzinfo=UTC)


def _id(burst: int, number: int) -> int:
    return 4_600_000_000_000_000 + 1000 * burst + number


def body_of(source_id: int, changed_at: datetime, price: float) -> bytes:
    """An item of about 1.2 KB."""
    record = {
        "item_id": str(source_id),
        "name": f"Widget {source_id}",
        "sku": f"W-{source_id}",
        "rate": price,
        "status": "active",
        "last_modified_time": changed_at.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **{f"field_{n}": f"some value {n}" for n in range(36)},
    }
    return json.dumps({"item": record}).encode()


def delivery_of(source_id: int, changed_at: datetime, price: float) -> Delivery:
    """A webhook that tells of a product's new price."""
    return parse(
        entity="product", event="updated", content_type="application/json", body=body_of(source_id, changed_at, price),
        query=[], form=None, headers={}, correlation_id="benchmark",
    )  # fmt: skip


def main() -> None:
    """Command line: `python -m benchmarks.webhook_database [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs="+", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    figures = measured(tuple(chosen.child[1:]), chosen.child[0]) if chosen.child else measure()
    print(json.dumps(figures) if chosen.json or chosen.child else "\n".join(f"{k:32} {v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
