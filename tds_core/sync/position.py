"""The position of a run: where its next page begins, so that a crash repeats a page and never skips one.

A list read by page numbers drifts: when a row is changed or deleted while we read, all behind it move up by one and
one of them is never seen. So a page is not asked for by number but by time: everything changed at or after the last
row we saw, the longest unchanged first. A changed row only ever moves to the end, where we shall meet it; a deleted
one moves nothing. Page numbers are left for rows that share one second, and for lists that cannot be sorted.

A second that fills several pages drifts too: so it is walked through again until a walk finds as many rows as the one
before it. Its rows can only become fewer, and a row is missed only when one that was seen has left; equal counts
therefore say that the last walk missed none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from tds_core.sources.base import ListedRow, Page
from tds_models.entity import Increment


@dataclass(frozen=True, slots=True)
class Position:
    """`since` and `page` are what to ask for next; `newest` is the newest change seen; `sorted` false: plain paging.

    `until`: a list that shows the newest first is read no further than to here.

    `walk_count`: rows of the second `since` seen on this walk through it; `walked_count`: on the walk before.
    """

    since: datetime | None = None
    page: int = 1
    newest: datetime | None = None
    sorted: bool = True
    walk_count: int = 0
    walked_count: int | None = None
    until: datetime | None = None
    ended: bool = False

    @classmethod
    def first(cls, increment: Increment, since: datetime | None) -> "Position":
        """Where a pass begins that is to see everything changed at or after `since` (`None`: everything)."""
        if increment is Increment.FILTER:
            return cls(since=since)
        return cls(sorted=False, until=since if increment is Increment.SORTED else None)

    def after(self, page: Page) -> "Position":
        """Where the page after `page` begins."""
        times = [row.modified_at for row in page.rows if row.modified_at is not None]
        newest = max([*times, *([self.newest] if self.newest else [])], default=None)
        in_order = self.sorted and len(times) == len(page.rows) and is_ascending(page.rows)
        if not in_order:
            # From the first page on, should the order have been lost later: what was read counts, nothing is skipped.
            following = self.page + 1 if not self.sorted or self.page == 1 else 1
            ended = not page.has_more or self._is_behind(times)
            return replace(self, page=following, newest=newest, sorted=False, ended=ended)
        last = times[-1] if times else self.since
        count = self.walk_count + sum(time == self.since for time in times)
        if last == self.since and page.has_more:
            return replace(self, page=self.page + 1, newest=newest, walk_count=count)
        if self.page > 1 and count != self.walked_count:
            return replace(self, page=1, newest=newest, walk_count=0, walked_count=count)
        if self.page > 1 and self.since and self.since not in times:
            return Position(since=just_after(self.since), newest=newest)
        return Position(since=last, newest=newest, ended=not page.has_more)

    def _is_behind(self, times: Sequence[datetime]) -> bool:
        """Whether a list that shows the newest first has come to what was known already."""
        return self.until is not None and any(time < self.until for time in times)

    def as_json(self) -> dict[str, Any]:
        """The position as it is stored. One that ended is stored as its last page, to be asked for once more."""
        return {
            "since": self.since.isoformat() if self.since else None,
            "page": self.page,
            "newest": self.newest.isoformat() if self.newest else None,
            "sorted": self.sorted,
            "walk_count": self.walk_count,
            "walked_count": self.walked_count,
            "until": self.until.isoformat() if self.until else None,
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Position":
        """The position that was stored."""
        since, newest, until = stored.get("since"), stored.get("newest"), stored.get("until")
        return cls(
            since=datetime.fromisoformat(since) if since else None,
            page=int(stored.get("page", 1)),
            newest=datetime.fromisoformat(newest) if newest else None,
            sorted=bool(stored.get("sorted", True)),
            walk_count=int(stored.get("walk_count", 0)),
            walked_count=stored.get("walked_count"),
            until=datetime.fromisoformat(until) if until else None,
        )


def just_after(moment: datetime) -> datetime:
    """The next moment a source can tell from `moment`: it stamps whole seconds, or as finely as it can."""
    return moment + (timedelta(microseconds=1) if moment.microsecond else timedelta(seconds=1))


def is_ascending(rows: Sequence[ListedRow]) -> bool:
    """Whether `rows` (all with a time) stand in the order of their changes."""
    return all(a.modified_at <= b.modified_at for a, b in pairwise(rows) if a.modified_at and b.modified_at)
