"""What TDS asks of a source: pages of a stream, and single records by id. All calls happen outside transactions.

Why a source is asked: the classes of traffic, the most urgent first, that share what the source allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tds_core.quality.clock_skew import Clock
from tds_models.entities.base import Stream


class Traffic(StrEnum):
    """What a call is for. The order is the order of precedence."""

    LIVE = "live"  # what a webhook announced, and stock
    OPERATOR = "operator"  # what a person waits for
    SCHEDULED = "scheduled"  # lists, incremental and full
    BACKFILL = "backfill"  # details of what a list showed

    @property
    def rank(self) -> int:
        """0 for the most urgent class."""
        return _ORDER.index(self)


_ORDER = list(Traffic)


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One row of a list page: who it is, when it changed, and its JSON as it came.

    `modified_at`: `None` where it does not say, or not readably.
    """

    source_id: str
    modified_at: datetime | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list.

    `strange`: why rows have no usable id, one reason for each of them. `clock`: the source's when it answered.
    `ordered_by`: what the answer says it is ordered by, where it says so; `disorder`: why it is not in the order asked
    for, as far as the answer tells; `order_refused`: that it was asked for once more without one.
    """

    rows: Sequence[ListedRow]
    has_more: bool
    strange: Sequence[str] = ()
    clock: Clock | None = None
    ordered_by: str | None = None
    disorder: str = ""
    order_refused: bool = False


@dataclass(frozen=True, slots=True)
class CallSummary:
    """One call to a source, without what was sent or answered. `status`: none without an answer; `code`: theirs."""

    path: str
    status: int | None
    code: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FetchResult:
    """What asking for records by id brought: their JSON, the ids the source no longer has, and what failed.

    `exchanges`: the call in which each of them was asked for last; none where it was not asked for. `clocks`: the
    source's when it answered about each. `refused`: those of the missing that it does not show, and what it
    said.
    """

    records: dict[str, bytes] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    failures: dict[str, Exception] = field(default_factory=dict)
    exchanges: dict[str, CallSummary] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """A system TDS reads."""

    name: str
    call_count: int

    def list_page(
        self, stream: Stream, *, since: datetime | None, page: int, traffic: Traffic = Traffic.SCHEDULED
    ) -> ListPage:
        """Page `page` (from 1) of the records changed at or after `since`, the longest unchanged first.

        Raises `SourceError`; `ContractError` when the answer shows that the filter was ignored.
        """
        ...

    def read(self, stream: Stream, source_ids: Sequence[str], *, traffic: Traffic = Traffic.LIVE) -> FetchResult:
        """Fetch the records of `source_ids`. Never raises for a single record: see `FetchResult.failures`."""
        ...
