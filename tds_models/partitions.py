"""Partitioned tables: which tables are divided by time, by which column, and how long each part is.

Partition names, for a table T: `T_p20261130` begins on that day (UTC); `T_default` takes rows no other is for, so
that no insert fails; `T_earlier` is the table as it was before it was partitioned, until its last row is old.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: A Monday: spans of seven days begin on one.
_FIRST_SPAN = datetime(1970, 1, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionedTable:
    """A table whose partitions span `days` each, or a multiple, by its column `key`; `primary_key` contains it.

    `former_key`: its primary key while it was not partitioned. `retention`: which setting says how long its rows are
    kept. `ahead`: how many partitions there are for the time to come, beside the present one. `is_finished`: SQL,
    whether an old row may be removed. `row_key`: one column that names a row within a partition.
    """

    name: str
    key: str
    days: int
    ahead: int
    retention: str
    primary_key: tuple[str, ...]
    former_key: tuple[str, ...]
    row_key: str
    is_finished: str = "true"

    @property
    def default(self) -> str:
        """The partition for rows that no other is for."""
        return f"{self.name}_default"

    @property
    def earlier(self) -> str:
        """The table as it was before it was partitioned."""
        return f"{self.name}_earlier"

    def partition(self, begins_at: datetime) -> str:
        """The name of the partition that begins then."""
        return f"{self.name}_p{begins_at.astimezone(UTC):%Y%m%d}"

    def span_of(self, at: datetime) -> tuple[datetime, datetime]:
        """The span `at` is in: its begin, and its end, which the next one begins with."""
        width = timedelta(days=self.days)
        begins_at = _FIRST_SPAN + (at - _FIRST_SPAN) // width * width
        return begins_at, begins_at + width


_TABLES = (
    PartitionedTable(
        name="tds_inbox_events", key="received_at", days=1, ahead=3, retention="events",
        primary_key=("id", "received_at"), former_key=("id",), row_key="id", is_finished="verdict is not null",
    ),
    PartitionedTable(
        name="tds_sync_logs", key="ended_at", days=7, ahead=2, retention="attempts", primary_key=("id", "ended_at"),
        former_key=("id",), row_key="id",
    ),
    PartitionedTable(
        name="tds_metrics", key="at", days=7, ahead=2, retention="metrics", primary_key=("name", "subject", "at"),
        former_key=("name", "subject", "at"), row_key="ctid",
    ),
)  # fmt: skip
PARTITIONED: Mapping[str, PartitionedTable] = {table.name: table for table in _TABLES}

_PARTITION = re.compile(rf"({'|'.join(PARTITIONED)})_(p\d{{8}}|default|earlier)")


def is_partition(name: str) -> bool:
    """Whether a table of this name is a partition of another."""
    return _PARTITION.fullmatch(name) is not None
