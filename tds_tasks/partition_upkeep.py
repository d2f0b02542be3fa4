"""The upkeep of partitions, part of the job `retention`: adds those to come, drops old ones whole."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core import partitions, retention
from tds_core.database_errors import is_contended
from tds_core.partitions import DropResult, Partition, Span
from tds_core.queue.items import database_clock
from tds_models.partitions import PARTITIONED, PartitionedTable
from tds_tasks.context import unhurried

Result = TypeVar("Result")
log = structlog.get_logger(__name__)

# A statement waits a second for its locks: others that want the table stand behind it.
TRIES = 5
PAUSE_SECONDS = 1.0


@dataclass(slots=True)
class UpkeepResult:
    """What was done with the partitions of a table: how many were added and dropped, and which rows were not whole."""

    added_count: int = 0
    dropped_count: int = 0
    moved_count: int = 0
    deleted_count: int = 0

    def __str__(self) -> str:
        says = f"{self.added_count} partitions added, {self.dropped_count} dropped, {self.deleted_count} rows deleted"
        return f"{says}, {self.moved_count} moved" if self.moved_count else says


def keep_up(days: Mapping[str, int]) -> dict[str, UpkeepResult]:
    """Add and drop partitions of every partitioned table. `days`: how long rows are kept, by the kind of retention.

    What stays locked by others is left to the next time, with a line in the log.
    """
    results = {name: UpkeepResult() for name in PARTITIONED}
    for name, table in PARTITIONED.items():
        _add(table, days[table.retention], results[name])
    for name, table in PARTITIONED.items():
        _remove(table, days[table.retention], results[name])
        if results[name].added_count or results[name].dropped_count:
            with unhurried() as session:
                partitions.analyze(session, table)
    return results


def _add(table: PartitionedTable, days: int, result: UpkeepResult) -> None:
    with unhurried() as session:
        found, now = partitions.list_partitions(session, table), database_clock(session)
    missing = partitions.missing_spans(table, found, now, days)
    for span in missing:
        # A long one is refused for any row of its time in the default one; a short one may be free of them.
        spans = dict.fromkeys([span, table.span_of(span[0])])
        result.added_count += any(_patiently(table.name, _adding(table, each)) for each in spans)


def _adding(table: PartitionedTable, span: Span) -> Callable[[Session], bool]:
    return lambda session: partitions.add_partition(session, table, span)


def _remove(table: PartitionedTable, days: int, result: UpkeepResult) -> None:
    with unhurried() as session:
        found, now = partitions.list_partitions(session, table), database_clock(session)
    old = partitions.old_partitions(found, now, days)
    mixed = [each for each in partitions.mixed_partitions(table, found, now, days) if each not in old]
    for partition in old:
        drop = _patiently(table.name, _dropping(partition))
        if drop and drop.is_dropped:
            result.dropped_count += 1
            result.moved_count += drop.moved_count
        elif drop:
            log.warning("partition_not_dropped", partition=partition.name, reason="too many rows are not finished")
            mixed.append(partition)
    for partition in mixed:
        result.deleted_count += _delete(table, partition, days)


def _dropping(partition: Partition) -> Callable[[Session], DropResult]:
    return lambda session: partitions.drop_partition(session, partition)


def _delete(table: PartitionedTable, partition: Partition, days: int) -> int:
    """Delete the old rows of a partition that holds new ones as well."""
    deleted = 0
    while True:
        with unhurried() as session:
            count = retention.remove_old_rows(session, table, partition.name, days=days)
        deleted += count
        if count < retention.BATCH_SIZE:
            return deleted


def _patiently(table: str, work: Callable[[Session], Result]) -> Result | None:
    """What `work` returns in a transaction of its own; None while others hold what it has to lock."""
    for left in reversed(range(TRIES)):
        try:
            with unhurried() as session:
                return work(session)
        except DBAPIError as error:
            if not is_contended(error):
                raise
        if left:
            time.sleep(PAUSE_SECONDS)
    log.warning("partitions_locked", table=table, tries=TRIES)
    return None
