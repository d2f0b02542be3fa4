"""Partitions promise: they are there before their rows, no insert fails without one, and old ones go whole."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tds_core import partitions
from tds_core.partitions import Partition
from tds_models.db import session_scope
from tds_models.partitions import PARTITIONED, PartitionedTable
from tests.support.database_role import superuser

LOGS = PARTITIONED["tds_sync_logs"]
EVERY = pytest.mark.parametrize("table", PARTITIONED.values(), ids=list(PARTITIONED))


def line(at: datetime, source_id: str = "1") -> dict[str, Any]:
    """A row of the log of attempts."""
    return {
        "source": "zoho", "entity": "product", "source_id": source_id, "generation": 1, "attempt": 1,
        "outcome": "updated", "correlation_id": "c", "ended_at": at,
    }  # fmt: skip


def write(engine: Engine, *rows: dict[str, Any]) -> None:
    names = list(rows[0])
    statement = f"insert into tds_sync_logs ({', '.join(names)}) values ({', '.join(f':{name}' for name in names)})"
    with engine.begin() as connection:
        connection.execute(text(statement), list(rows))


def where(engine: Engine) -> list[str]:
    """In which partitions the lines stand."""
    with engine.connect() as connection:
        statement = text("select tableoid::regclass::text from tds_sync_logs order by ended_at")
        return list(connection.execute(statement).scalars())


def those_of(engine: Engine, table: PartitionedTable) -> list[Partition]:
    with session_scope(engine) as session:
        return partitions.list_partitions(session, table)


def clock(engine: Engine) -> datetime:
    with engine.connect() as connection:
        at: datetime = connection.execute(text("select clock_timestamp()")).scalar_one()
        return at


@EVERY
def test_a_migrated_database_has_those_of_now_and_of_the_time_to_come(engine: Engine, table: PartitionedTable) -> None:
    spans = partitions.spans_ahead(table, clock(engine))
    found = those_of(engine, table)
    assert [(each.begins_at, each.ends_at) for each in found] == [(None, None), *spans]
    assert [each.name for each in found] == [table.default, *(table.partition(begins_at) for begins_at, _ in spans)]
    with session_scope(engine) as session:
        assert partitions.tables_without_next(session) == []


def test_a_row_stands_in_the_partition_of_its_time(engine: Engine) -> None:
    begins_at, ends_at = LOGS.span_of(clock(engine))
    write(engine, line(begins_at), line(ends_at - timedelta(microseconds=1)), line(ends_at))
    assert where(engine) == [LOGS.partition(begins_at)] * 2 + [LOGS.partition(ends_at)]


def test_a_row_of_a_time_without_a_partition_is_stored_all_the_same(engine: Engine) -> None:
    now = clock(engine)
    write(engine, line(now - timedelta(days=40)), line(now + timedelta(days=400)))
    assert where(engine) == [LOGS.default, LOGS.default]


def test_a_partition_is_added_once_and_not_over_rows_that_stand_in_the_default_one(engine: Engine) -> None:
    span = LOGS.span_of(clock(engine) + timedelta(days=100))
    next_span = LOGS.span_of(span[1])
    write(engine, line(span[0], "early"))
    with session_scope(engine) as session:
        assert not partitions.add_partition(session, LOGS, span), "the row would have to be moved"
        assert partitions.add_partition(session, LOGS, next_span)
        assert not partitions.add_partition(session, LOGS, next_span)
    write(engine, line(span[0], "late"), line(next_span[0]))
    assert where(engine) == [LOGS.default, LOGS.default, LOGS.partition(next_span[0])]


def test_a_new_partition_has_every_index_of_the_others(engine: Engine) -> None:
    span = LOGS.span_of(clock(engine) + timedelta(days=100))
    with session_scope(engine) as session:
        partitions.add_partition(session, LOGS, span)
        counts = session.execute(
            text(
                "select count(*), count(*) filter (where c.relispartition) from pg_index i join pg_class c"
                " on c.oid = i.indexrelid where i.indrelid in ('tds_sync_logs'::regclass, to_regclass(:name))"
            ),
            {"name": LOGS.partition(span[0])},
        ).one()
    assert tuple(counts) == (6, 3)


def test_only_what_ended_a_day_ago_is_dropped(engine: Engine) -> None:
    with session_scope(engine) as session:
        old = LOGS.span_of(clock(engine) - timedelta(days=30))
        assert partitions.add_partition(session, LOGS, old)
    write(engine, line(old[0]), line(clock(engine)))
    named = {each.name: each for each in those_of(engine, LOGS)}
    for name in (LOGS.default, LOGS.partition(LOGS.span_of(clock(engine))[0])):
        with pytest.raises(DBAPIError, match="no partition that ended a day ago"), session_scope(engine) as session:
            partitions.drop_partition(session, named[name])
    with session_scope(engine) as session:
        dropped = partitions.drop_partition(session, named[LOGS.partition(old[0])])
    assert (dropped.is_dropped, dropped.moved_count) == (True, 0)
    assert where(engine) == [LOGS.partition(LOGS.span_of(clock(engine))[0])]


def test_tables_that_are_not_partitioned_are_refused(engine: Engine) -> None:
    span = LOGS.span_of(clock(engine))
    for table in ("tds_audit_trail", "tds_sync_logs_default", "nothing"):
        call = text("select tds_add_partition(:table, :begins_at, :ends_at)")
        with pytest.raises(DBAPIError, match="is not partitioned"), session_scope(engine) as session:
            session.execute(call, {"table": table, "begins_at": span[0], "ends_at": span[1]})
    with pytest.raises(DBAPIError, match="no partition"), session_scope(engine) as session:
        partitions.drop_partition(session, Partition("tds_audit_trail", None, None))


def test_the_next_one_that_is_missing_is_noticed(engine: Engine) -> None:
    following = LOGS.span_of(LOGS.span_of(clock(engine))[1])
    with superuser(engine) as session:
        session.execute(text(f"drop table {LOGS.partition(following[0])}"))
    with session_scope(engine) as session:
        assert partitions.tables_without_next(session) == ["tds_sync_logs"]


def plan_of(engine: Engine, statement: str, **params: Any) -> str:
    with engine.connect() as connection:
        return "\n".join(connection.execute(text(f"explain (analyze, costs off) {statement}"), params).scalars())


def test_what_is_asked_by_time_looks_at_the_partitions_of_that_time_alone(engine: Engine) -> None:
    now = clock(engine)
    begins_at, _ = LOGS.span_of(now)
    old = LOGS.span_of(now - timedelta(days=30))
    with session_scope(engine) as session:
        partitions.add_partition(session, LOGS, old)
    counted = "select count(*) from tds_sync_logs where ended_at >= :since and ended_at < :until"
    plan = plan_of(engine, counted, since=begins_at, until=begins_at + timedelta(hours=1))
    assert LOGS.partition(begins_at) in plan
    assert all(each.name not in plan for each in those_of(engine, LOGS) if each.begins_at not in (begins_at, None))
    since_now = plan_of(engine, "select count(*) from tds_sync_logs where ended_at > now() - interval '1 hour'")
    assert f" on {LOGS.partition(old[0])}" not in since_now


def test_partitions_of_utc_days_whatever_the_zone_of_who_asks(engine: Engine) -> None:
    span = LOGS.span_of(datetime(2027, 6, 1, tzinfo=UTC))
    with session_scope(engine) as session:
        session.execute(text("set local timezone = 'Asia/Baghdad'"))
        partitions.add_partition(session, LOGS, span)
        found = {each.name: each for each in partitions.list_partitions(session, LOGS)}
    assert found["tds_sync_logs_p20270531"].begins_at == datetime(2027, 5, 31, tzinfo=UTC)
