"""A source that lives while it is read: records change, vanish and are listed in pages, whenever a test says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from tds_core.errors import TransientError
from tds_core.sources.base import FetchResult, ListedRow, ListPage
from tds_models.entities.declaration import Stream
from tests.support.world import at, product

PAGE_SIZE = 3


@dataclass
class LivingSource:
    """Products by id; `rate` counts a record's states, so that of two states the later is known by its number.

    `now` is the source's clock in seconds. `during` is run after an answer was made up and before it is given.
    `fails_next`: the next call is not answered.
    """

    name: str = "zoho"
    call_count: int = 0
    now: int = 0
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    past: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    fails_next: bool = False
    during: list[Callable[[], object]] = field(default_factory=list)

    def change(self, key: str, *, ticks: int = 1, stamped_ago: int = 0) -> None:
        """Give `key` its next state, `ticks` seconds after the last change of anything.

        `stamped_ago`: the state carries an older time than it is seen at, though none older than the state before.
        """
        self.now += ticks
        states = self.past.setdefault(key, [])
        second = max(self.now - stamped_ago, states[-1]["second"] if states else 0)
        states.append({"second": second, "rate": len(states)})
        self.records[key] = product(key, **states[-1])
        self.deleted.discard(key)

    def body(self, key: str, number: int) -> dict[str, Any]:
        """State `number` of `key`, as a webhook told it then."""
        return product(key, **self.past[key][number])

    def delete(self, key: str) -> None:
        if self.records.pop(key, None):
            self.deleted.add(key)

    def list_page(self, stream: Stream, *, since: datetime | None, page: int, traffic: Any) -> ListPage:
        rows = sorted(
            (row["last_modified_time"], key)
            for key, row in self.records.items()
            if since is None or at(self.past[key][-1]["second"]) >= since
        )
        start = (page - 1) * PAGE_SIZE
        listed = [
            ListedRow(key, at(self.past[key][-1]["second"]), msgspec.json.encode(self.records[key]))
            for _, key in rows[start : start + PAGE_SIZE]
        ]
        self._answer()
        return ListPage(listed, len(rows) > start + PAGE_SIZE)

    def read(self, stream: Stream, source_ids: Sequence[str], *, traffic: Any) -> FetchResult:
        reading = FetchResult(
            records={key: msgspec.json.encode(self.records[key]) for key in source_ids if key in self.records},
            missing={key for key in source_ids if key not in self.records},
        )
        try:
            self._answer()
        except TransientError as error:
            return FetchResult(failures=dict.fromkeys(source_ids, error))
        return reading

    def _answer(self) -> None:
        self.call_count += 1
        todo, self.during = self.during, []
        for each in todo:
            each()
        if self.fails_next:
            self.fails_next = False
            raise TransientError("HTTP 502")
