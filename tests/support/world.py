"""A worker's world in the test's process: its database, its tasks called in place, and eyes on what they wrote."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, text

from tds_core.inbox import receive
from tds_core.inbox.receive import Delivery, Receipt
from tds_core.queue import claim as queue_claim
from tds_core.queue import items
from tds_core.records import schema_drift
from tds_core.sources.base import FetchResult, ListPage
from tds_core.sync import runs
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_tasks import comparison_runs, context, page_fetch, work_batches, worker_nudges
from tds_tasks import runs as run_tasks
from tds_tasks.work_batches import drain
from tests.support.database_role import superuser

# A busy machine takes longer than a worker gives one entity before others have their turn.
PATIENCE_SECONDS = 60.0
T0 = datetime(2026, 11, 1, 12, 0, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A moment of a record's history, so long after T0."""
    return T0 + timedelta(seconds=seconds)


def product(source_id: str = "460000000000001", *, second: int = 0, **more: Any) -> dict[str, Any]:
    """A whole item as Zoho writes it, last modified `second` seconds after T0."""
    whole = {
        "item_id": source_id,
        "name": f"Item {source_id}",
        "sku": "S-1",
        "rate": 10.5,
        "status": "active",
        "last_modified_time": at(second).isoformat(),
    }
    return {**whole, **more}


def invoice(source_id: str = "460000000900001", *, second: int = 0, **more: Any) -> dict[str, Any]:
    """A whole invoice with two lines."""
    whole = {
        "invoice_id": source_id,
        "invoice_number": "INV-1",
        "customer_id": "460000000300001",
        "date": "2026-11-01",
        "status": "sent",
        "total": 30,
        "last_modified_time": at(second).isoformat(),
        "line_items": [
            {"line_item_id": "1", "item_id": "460000000000001", "quantity": 1, "rate": 10, "item_total": 10},
            {"line_item_id": "2", "item_id": "460000000000002", "quantity": 2, "rate": 10, "item_total": 20},
        ],
    }
    return {**whole, **more}


def delivery(entity: str, record: Mapping[str, Any], *, event: str = "updated", complete: bool = True) -> Delivery:
    """A verified, understood webhook about `record`."""
    stream = ENTITIES[entity].stream
    raw = msgspec.json.encode(record)
    stamped = record.get(stream.modified_key)
    return Delivery(
        source="zoho",
        entity=entity,
        event=event,
        source_id=str(record[stream.id_key]),
        source_modified_at=datetime.fromisoformat(stamped) if stamped else None,
        record=raw,
        complete=complete,
        fingerprint=hashlib.blake2b(f"{entity}{event}".encode() + raw, digest_size=16).digest(),
        correlation_id="corr-1",
    )


@dataclass
class ScriptedSource:
    """A source that answers what a test put there; an exception in place of a record is raised for that record."""

    name: str = "zoho"
    call_count: int = 0
    records: dict[str, Mapping[str, Any] | Exception] = field(default_factory=dict)
    pages: list[ListPage | Exception] = field(default_factory=list)
    asked: list[list[str]] = field(default_factory=list)
    traffic: list[str] = field(default_factory=list)

    def list_page(self, stream: Any, *, since: Any, page: int, traffic: Any) -> ListPage:
        self.call_count += 1
        answer = self.pages.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def read(self, stream: Any, source_ids: Any, *, traffic: Any) -> FetchResult:
        self.call_count += 1
        self.traffic.append(traffic)
        self.asked.append(list(source_ids))
        reading = FetchResult()
        for source_id in source_ids:
            answer = self.records.get(source_id)
            if isinstance(answer, Exception):
                reading.failures[source_id] = answer
            elif answer is None:
                reading.missing.add(source_id)
            else:
                reading.records[source_id] = msgspec.json.encode(answer)
        return reading


@dataclass
class World:
    """The worker's side: deliver, drain, run, look."""

    engine: Engine
    nudged: list[str] = field(default_factory=list)

    def deliver(self, *deliveries: Delivery, window_seconds: float = 600) -> list[Receipt]:
        with session_scope(self.engine) as session:
            return receive.receive(session, deliveries, duplicate_window_seconds=window_seconds)

    def enqueue(self, entity: str, *source_ids: str, **more: Any) -> None:
        with session_scope(self.engine) as session:
            items.enqueue(session, entity=entity, source_ids=source_ids, origin="operator", **more)

    def know(self, entity: str, record: Mapping[str, Any]) -> None:
        """Let records of `entity` be known to be read with the keys of `record`, and no others."""
        parts = {"detail": record}
        for lines in ENTITIES[entity].lines:
            parts[f"detail.{lines.name}"] = record[lines.key][0]
        for part, keys in parts.items():
            self.execute(
                "insert into tds_known_keys (source, entity, part, key, kinds)"
                " select 'zoho', :entity, :part, key, '{}' from unnest(cast(:keys as text[])) as k(key)",
                entity=entity, part=part, keys=list(keys),
            )  # fmt: skip

    def claim(self, entity: str = "product", *, limit: int = 100, lease_seconds: float = 60) -> items.Claim | None:
        with session_scope(self.engine) as session:
            return queue_claim.claim(session, entity=entity, limit=limit, lease_seconds=lease_seconds, worker="test")

    def drain(self, entity: str, *, make_due: bool = False) -> int:
        """Do the due work of `entity`; `make_due` lets no pause stand in the way."""
        if make_due:
            self.execute("update tds_sync_queue set next_attempt_at = now() where lease_token is null")
        return drain(entity, budget_seconds=PATIENCE_SECONDS)

    def request_run(self, entity: str, mode: str) -> int:
        with session_scope(self.engine) as session:
            return runs.request_run(session, entity=entity, mode=mode, requested_by="test")

    def run(self, entity: str, mode: str, *, drains: bool = True) -> dict[str, Any]:
        """Take a pass to its end, and what it found owed as well. Returns the run's row."""
        run_id = self.request_run(entity, mode)
        self.advance(run_id)
        if drains:
            self.drain(entity)
        return self.run_row(run_id)

    def advance(self, run_id: int, *, slice_seconds: float = 30) -> None:
        while run_tasks.advance_run(run_id, slice_seconds=slice_seconds):
            pass

    def run_row(self, run_id: int) -> dict[str, Any]:
        return self.one("select * from tds_sync_runs where id = :id", id=run_id)

    def rows(self, statement: str, **given: Any) -> list[dict[str, Any]]:
        with session_scope(self.engine) as session:
            return [dict(row) for row in session.execute(text(statement), given).mappings()]

    def one(self, statement: str, **given: Any) -> dict[str, Any]:
        [row] = self.rows(statement, **given)
        return row

    def value(self, statement: str, **given: Any) -> Any:
        [value] = self.one(statement, **given).values()
        return value

    def execute(self, statement: str, **given: Any) -> None:
        """Change what stands in the database by hand, also what TDS itself has no right to."""
        with superuser(self.engine) as session:
            session.execute(text(statement), given)

    def row(self, entity: str, source_id: str) -> dict[str, Any]:
        return self.one(f"select * from erp.{entity} where source_id = :id", id=source_id)

    def mirror(self, entity: str, columns: str) -> dict[str, tuple[Any, ...]]:
        """The living rows by source id."""
        found = self.rows(f"select source_id, {columns} from erp.{entity} where deleted_at is null")
        return {row["source_id"]: tuple(list(row.values())[1:]) for row in found}

    def verdicts(self) -> list[str | None]:
        return [row["verdict"] for row in self.rows("select verdict from tds_inbox_events order by id")]

    def forget_what_is_known(self) -> None:
        """Be another process: one that has read nothing yet."""
        schema_drift._memories.clear()

    def queue_depth(self, entity: str = "%") -> int:
        """Live work items, those of `entity` alone if it is named."""
        return self.value("select count(*) from tds_sync_queue where entity like :entity", entity=entity)

    def audit(self, entity: str, source_id: str) -> list[dict[str, Any]]:
        return self.rows(
            "select * from tds_audit_trail where entity = :entity and source_id = :id order by version",
            entity=entity,
            id=source_id,
        )


def believe_started(world: World, ago: str) -> None:
    """Let this test's database believe that its server was started so long ago."""
    world.execute(
        "create function public.pg_postmaster_start_time() returns timestamptz language sql"
        f" as $$ select now() - interval '{ago}' $$"
    )
    world.execute(
        "do $$ begin execute format('alter database %I set search_path = public, pg_catalog',"
        " current_database()); end $$"
    )
    world.engine.dispose()


def forget_context() -> None:
    """Let the next task read its settings and connect anew."""
    context.settings.cache_clear()
    context._engine.cache_clear()
    context._source.cache_clear()
    context._breakers.cache_clear()
    context._organization.cache_clear()


@contextmanager
def opened(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, home: str, environ: Mapping[str, str]
) -> Iterator[World]:
    """Point this process's tasks at `database`, with `environ` on top; nudges are collected, not sent."""
    for name in [name for name in os.environ if name.startswith(("TDS_", "ZOHO_"))]:
        monkeypatch.delenv(name)
    told = {"TDS_DATABASE_URL": database, "TDS_HOME": home, "TDS_SECRET_KEY": Fernet.generate_key().decode()}
    for name, value in {**told, **environ}.items():
        monkeypatch.setenv(name, value)
    world = World(engine)
    monkeypatch.setattr(worker_nudges, "_send", lambda task, *args: world.nudged.append(task))
    forget_context()
    yield world
    context._engine(os.getpid()).dispose()
    forget_context()


def script(monkeypatch: pytest.MonkeyPatch, source: ScriptedSource) -> ScriptedSource:
    """Let tasks ask `source` instead of Zoho."""
    monkeypatch.setattr(work_batches, "source", lambda name: source)
    monkeypatch.setattr(page_fetch, "source", lambda name: source)
    monkeypatch.setattr(comparison_runs, "source", lambda name: source)
    return source
