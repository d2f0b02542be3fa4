"""Partitions promise: spans follow one another without a gap, and only what is old as a whole is dropped."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tds_core.partitions import Partition, missing_spans, mixed_partitions, old_partitions, spans_ahead
from tds_models.partitions import PARTITIONED, PartitionedTable, is_partition

NOW = datetime(2026, 11, 30, 0, 0, tzinfo=UTC)  # a Monday
LOGS = PARTITIONED["tds_sync_logs"]
WEEK = timedelta(days=7)
EVERY = pytest.mark.parametrize("table", PARTITIONED.values(), ids=list(PARTITIONED))


def partition(begins_at: datetime | None, ends_at: datetime | None, name: str = "p") -> Partition:
    return Partition(name, begins_at, ends_at)


@EVERY
def test_the_last_moment_of_a_span_belongs_to_it_and_the_next_to_the_next(table: PartitionedTable) -> None:
    begins_at, ends_at = table.span_of(NOW)
    assert begins_at <= NOW < ends_at
    assert table.span_of(ends_at - timedelta(microseconds=1)) == (begins_at, ends_at)
    assert table.span_of(ends_at)[0] == ends_at


def test_weeks_begin_on_mondays_in_utc() -> None:
    late = datetime(2026, 12, 7, 2, 0, tzinfo=UTC).astimezone()
    assert LOGS.span_of(NOW) == (NOW, NOW + WEEK)
    assert LOGS.span_of(NOW - timedelta(seconds=1)) == (NOW - WEEK, NOW)
    assert LOGS.span_of(late)[0] == NOW + WEEK
    assert LOGS.partition(LOGS.span_of(late)[0]) == "tds_sync_logs_p20261207"


@EVERY
def test_spans_ahead_follow_one_another(table: PartitionedTable) -> None:
    spans = spans_ahead(table, NOW)
    assert len(spans) == table.ahead + 1
    assert all(one[1] == other[0] for one, other in pairwise(spans))


def test_nothing_is_missing_where_the_earlier_table_reaches_beyond_now() -> None:
    one, two, three = spans_ahead(LOGS, NOW)
    there = [partition(None, two[1]), partition(None, None)]
    assert missing_spans(LOGS, there, NOW) == [three]
    assert missing_spans(LOGS, [*there, partition(*three)], NOW) == []
    assert missing_spans(LOGS, [partition(None, None)], NOW) == [one, two, three]


def test_a_gap_is_filled_after_a_standstill() -> None:
    one, two, three = spans_ahead(LOGS, NOW)
    assert missing_spans(LOGS, [partition(*three), partition(NOW - 9 * WEEK, NOW - 8 * WEEK)], NOW) == [one, two]


@EVERY
@pytest.mark.parametrize("days", [1, 30, 101, 365, 36_500])
def test_however_long_rows_are_kept_there_are_not_many_partitions(table: PartitionedTable, days: int) -> None:
    there, now, ends_at = list[Partition](), NOW, NOW
    while now < NOW + timedelta(days=days):
        missing = missing_spans(table, there, now, days)
        assert [begins_at for begins_at, _ in missing] == [ends_at, *(end for _, end in missing)][: len(missing)]
        there += [partition(*span) for span in missing]
        ends_at = there[-1].ends_at or now
        assert ends_at >= table.span_of(now + timedelta(days=table.days))[1], "the next one is there"
        now += timedelta(days=1)
    assert len(there) <= 110
    assert len(there) >= min(days // table.days, 50)


def test_a_longer_span_ends_where_another_partition_begins_and_the_present_one_stays_short() -> None:
    one, two, three = spans_ahead(LOGS, NOW)
    far = partition(three[1] + WEEK, three[1] + 2 * WEEK)
    assert missing_spans(LOGS, [far], NOW, 36_500) == [one, (two[0], far.begins_at)]
    assert missing_spans(LOGS, [partition(*three)], NOW, 36_500) == [one, two]


def test_a_partition_is_old_when_its_newest_possible_row_is() -> None:
    young, old = partition(NOW - 3 * WEEK, NOW - 2 * WEEK), partition(NOW - 4 * WEEK, NOW - 3 * WEEK)
    earlier, default = partition(None, NOW - 4 * WEEK), partition(None, None)
    assert old_partitions([earlier, default, young, old], NOW, 21) == [earlier, old]
    assert old_partitions([young, old], NOW, 20) == [old]
    assert mixed_partitions(LOGS, [earlier, default, young, old], NOW, 15) == [earlier, default]


def test_a_short_retention_is_kept_to_the_day() -> None:
    present, last = partition(NOW - WEEK, NOW), partition(NOW - 2 * WEEK, NOW - WEEK)
    assert mixed_partitions(LOGS, [partition(None, None), last, present], NOW, 10) == [partition(None, None), last]
    assert mixed_partitions(LOGS, [last, present], NOW, 14) == []


def test_partitions_are_told_from_tables_by_their_names() -> None:
    assert all(is_partition(f"tds_sync_logs_{end}") for end in ("p20261130", "default", "earlier"))
    assert not any(is_partition(name) for name in ("tds_sync_logs", "tds_sync_logs_x", "tds_alerts_default", ""))
