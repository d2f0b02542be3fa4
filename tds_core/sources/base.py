"""The interface of a source: pages of a stream and records by id. Calls are made outside transactions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tds_core.quality.future_timestamps import Clock
from tds_models.entities.declaration import Stream


class Traffic(StrEnum):
    """The purpose of a call. The order is the order of precedence within the quota."""

    LIVE = "live"  # records announced by webhooks, and stock
    OPERATOR = "operator"  # a person waits for it
    SCHEDULED = "scheduled"  # lists, incremental and full
    BACKFILL = "backfill"  # details of listed records
    COMPARISON = "comparison"  # comparing the mirror with the source

    @property
    def rank(self) -> int:
        """0 for the most urgent class."""
        return _ORDER.index(self)


_ORDER = list(Traffic)


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One row of a list page: id, modification time, and raw JSON.

    `modified_at`: None if missing or unreadable.
    """

    source_id: str
    modified_at: datetime | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list.

    `strange`: for each row without a usable id, the reason. `clock`: the source's at the time of the response.
    `ordered_by`: the sort key the response states, if any. `disorder`: why the page is not in the requested order, as
    far as the response shows. `order_refused`: the source refused the order, so the page was read without one.
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
    """One call to a source, without contents. `status`: of HTTP, None without a response; `code`: the source's own."""

    path: str
    status: int | None
    code: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FetchResult:
    """The result of reading records by id: raw JSON of those found, ids the source no longer has, and failures.

    `exchanges`: the last call for each id that was asked for. `clocks`: the source's clock at the response, by id.
    `refused`: ids among `missing` that the source does not show to this connection, with its message.
    """

    records: dict[str, bytes] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    failures: dict[str, Exception] = field(default_factory=dict)
    exchanges: dict[str, CallSummary] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """A system TDS mirrors."""

    name: str
    call_count: int

    def list_page(
        self, stream: Stream, *, since: datetime | None, page: int, traffic: Traffic = Traffic.SCHEDULED
    ) -> ListPage:
        """Page `page` (from 1) of the records changed at or after `since`, the oldest change first.

        Raises `SourceError`; `ContractError` if the source ignored the filter.
        """
        ...

    def read(self, stream: Stream, source_ids: Sequence[str], *, traffic: Traffic = Traffic.LIVE) -> FetchResult:
        """Fetch the records of `source_ids`. Never raises for a single record: see `FetchResult.failures`."""
        ...
