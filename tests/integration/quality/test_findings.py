"""Findings about many records at once are one statement, each said in the log while it is new."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tds_core.errors import PermissionMissingError
from tds_core.quality import findings, future_timestamps
from tds_core.quality.findings import NewFinding
from tds_core.sources import missing_permissions
from tds_core.sync import unconfirmed_records
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_models.findings import Severity
from tds_tasks import context
from tests.support.world import ScriptedSource, World, delivery, invoice, product, script

IDS = [f"17835410000000{number}" for number in range(12345, 12357)]
FUTURE = "2081-01-01T00:00:00+0300"
RECORDS: dict[str, Callable[..., dict[str, Any]]] = {"product": product, "invoice": invoice}
KEPT = "select kind, entity, subject from tds_findings where resolved_at is null order by entity, subject"


@pytest.fixture
def source(world: World, monkeypatch: pytest.MonkeyPatch) -> ScriptedSource:
    return script(monkeypatch, ScriptedSource())


@pytest.fixture
def inserts(world: World) -> list[str]:
    """The statements that keep findings, as they are said."""
    said: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "insert into tds_findings" in statement:
            said.append(statement)

    event.listen(context._engine(context.getpid()), "before_cursor_execute", listen)
    return said


@pytest.mark.parametrize("entity", RECORDS)
def test_strangers_of_one_batch_are_reported_in_one_statement(
    world: World, source: ScriptedSource, inserts: list[str], entity: str
) -> None:
    world.know(entity, RECORDS[entity]())
    world.deliver(*(delivery(entity, RECORDS[entity](each)) for each in IDS))
    world.drain(entity)
    with session_scope(world.engine) as session:
        assert unconfirmed_records.enqueue_unconfirmed(session, after_seconds=0) == len(IDS)
    inserts.clear()
    source.asked.clear()
    world.drain(entity)
    kept = world.rows(KEPT)
    assert [(each["kind"], each["entity"], each["subject"]) for each in kept] == [
        (unconfirmed_records.KIND, entity, each) for each in IDS
    ]
    assert len(inserts) == world.value(
        "select count(distinct ended_at) from tds_sync_logs where outcome = 'deleted' and source_id = any(:ids)",
        ids=IDS,
    )
    assert len(inserts) < len(IDS)


@pytest.mark.parametrize("entity", RECORDS)
def test_times_to_come_of_one_batch_are_reported_in_one_statement(
    world: World, source: ScriptedSource, inserts: list[str], entity: str
) -> None:
    source.records.update({each: {**RECORDS[entity](each), "last_modified_time": FUTURE} for each in IDS})
    world.enqueue(entity, *IDS)
    world.drain(entity)
    assert [each["subject"] for each in world.rows(KEPT)] == IDS
    assert world.rows("select distinct kind from tds_findings") == [{"kind": future_timestamps.FUTURE_TIME}]
    assert len(inserts) == world.value("select count(distinct ended_at) from tds_sync_logs where outcome = 'created'")
    assert len(inserts) < len(IDS)


def test_a_missing_permission_is_reported_all_its_entities_in_one_statement(world: World, inserts: list[str]) -> None:
    stream = ENTITIES["customer"].stream
    error = PermissionMissingError("not you", api=stream.api, path=stream.path, scope="ZohoBooks.contacts.READ")
    with session_scope(context._engine(context.getpid())) as session:
        missing_permissions.record_refusal(session, stream.source, error)
    assert [each["entity"] for each in world.rows(KEPT)] == ["customer", "vendor"]
    assert len(inserts) == 1


def of(subject: str, **detail: Any) -> NewFinding:
    return NewFinding(
        kind="stranger", severity=Severity.WARNING, source="zoho", entity="product", subject=subject, detail=detail
    )


def stored(engine: Engine, *found: NewFinding) -> list[str]:
    with session_scope(engine) as session:
        return [each.subject for each in findings.upsert(session, found)]


def test_a_finding_is_new_once_while_it_is_open_and_learns_what_is_said_later(world: World, engine: Engine) -> None:
    assert stored(engine) == []
    assert stored(engine, of("2", news="a"), of("1", news="b")) == ["2", "1"]
    assert stored(engine, of("1", more=datetime(2026, 1, 2, tzinfo=UTC)), of("3")) == ["3"]
    told = world.value("select detail from tds_findings where subject = '1'")
    assert (told["news"], datetime.fromisoformat(told["more"])) == ("b", datetime(2026, 1, 2, tzinfo=UTC))
    with session_scope(engine) as session:
        findings.close(session, kind="stranger", source="zoho", entity="product", by="somebody")
    assert stored(engine, of("1"), of("2")) == ["1", "2"]
    assert world.value("select count(*) from tds_findings") == 5
