"""Partitions: which there are, which are missing for the time to come, and which are old enough to be dropped whole.

Only the owner of a table may add or drop partitions of it, so functions of the owner do (migration 0042), which the
application may call. Each waits a second for its locks at most; callers try again.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.partitions import PARTITIONED, PartitionedTable

Span = tuple[datetime, datetime]
#: What does not ask by time locks and plans every partition and index: a year of days makes that ten times as slow as a
#: week, and PostgreSQL runs out of room for locks.
MOST_PARTITIONS = 100

_PARTITIONS = text(r"""
select c.relname as name, (regexp_match(b.bound, 'FROM \(''([^'']+)''\)'))[1]::timestamptz as begins_at,
       (regexp_match(b.bound, 'TO \(''([^'']+)''\)'))[1]::timestamptz as ends_at
from pg_inherits i join pg_class c on c.oid = i.inhrelid
cross join lateral (select pg_get_expr(c.relpartbound, c.oid) as bound) b
where i.inhparent = to_regclass('public.' || :table) order by begins_at nulls first, c.relname
""")
_NOW = text("select clock_timestamp()")
_ADD = text("select tds_add_partition(:table, :begins_at, :ends_at)")
_DROP = text("select tds_drop_partition(:partition)")
_ANALYZE = text("select tds_analyze_partitions(:table)")


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition and its span. `begins_at`: None for the earlier one; `ends_at`: None, too, for the default one."""

    name: str
    begins_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class DropResult:
    """Whether a partition was dropped, and how many of its rows were moved; it stays if these were too many."""

    is_dropped: bool
    moved_count: int


def list_partitions(session: Session, table: PartitionedTable) -> list[Partition]:
    """The partitions of a table, in the order of time."""
    rows = session.execute(_PARTITIONS, {"table": table.name})
    return [Partition(row.name, row.begins_at, row.ends_at) for row in rows]


def spans_ahead(table: PartitionedTable, now: datetime) -> list[Span]:
    """The spans there should be partitions for: the present one and those to come."""
    spans = [table.span_of(now)]
    while len(spans) <= table.ahead:
        spans.append(table.span_of(spans[-1][1]))
    return spans


def missing_spans(table: PartitionedTable, partitions: Iterable[Partition], now: datetime, days: int = 0) -> list[Span]:
    """The spans from now on that no partition but the default one is for. `days`: how long rows are kept.

    Rows that are kept for long get longer spans, so that there are some MOST_PARTITIONS at most.
    """
    taken: list[tuple[datetime | None, datetime]] = [
        (each.begins_at, each.ends_at) for each in partitions if each.ends_at is not None
    ]
    width = timedelta(days=table.days * math.ceil(days / (table.days * MOST_PARTITIONS)))
    missing: list[Span] = []
    for begins_at, ends_at in spans_ahead(table, now):
        if all(end <= begins_at or (begin and begin >= ends_at) for begin, end in [*taken, *missing]):
            later = [begin for begin, _ in taken if begin and begin >= ends_at]
            # The present one stays short: after a standstill its rows stand in the default one, and it is not added.
            is_present = begins_at <= now
            missing.append((begins_at, ends_at if is_present else min([max(begins_at + width, ends_at), *later])))
    return missing


def old_partitions(partitions: Iterable[Partition], now: datetime, days: int) -> list[Partition]:
    """The partitions whose newest row is more than `days` old."""
    return [each for each in partitions if each.ends_at is not None and each.ends_at <= now - timedelta(days=days)]


def mixed_partitions(
    table: PartitionedTable, partitions: Iterable[Partition], now: datetime, days: int
) -> list[Partition]:
    """The partitions whose old rows have to be deleted, since new ones stand beside them: the earlier and default one.

    With a short retention, also the one that is old in part: it would keep its rows for as long again.
    """
    until = now - timedelta(days=days)
    is_short = days < 2 * table.days
    return [
        each
        for each in partitions
        if each.begins_at is None or (is_short and each.ends_at and each.begins_at < until < each.ends_at)
    ]


def add_partition(session: Session, table: PartitionedTable, span: Span) -> bool:
    """Add the partition of a span. False: it exists, or rows of the span are in the default one and stay there."""
    params = {"table": table.name, "begins_at": span[0], "ends_at": span[1]}
    return bool(session.execute(_ADD, params).scalar_one())


def drop_partition(session: Session, partition: Partition) -> DropResult:
    """Drop a partition with all its rows; those that are not finished are moved to the default one."""
    moved: int | None = session.execute(_DROP, {"partition": partition.name}).scalar_one()
    return DropResult(is_dropped=moved is not None, moved_count=moved or 0)


def analyze(session: Session, table: PartitionedTable) -> None:
    """Have PostgreSQL's planner learn what is in the whole table; it does so by itself only for each partition."""
    session.execute(_ANALYZE, {"table": table.name})


def tables_without_next(session: Session) -> list[str]:
    """The tables that have no partition for the span after the present one; rows will go to their default one."""
    now = session.execute(_NOW).scalar_one()
    return [name for name, table in PARTITIONED.items() if _lacks_next(session, table, now)]


def _lacks_next(session: Session, table: PartitionedTable, now: datetime) -> bool:
    return spans_ahead(table, now)[1] in missing_spans(table, list_partitions(session, table), now)
