"""The position of a run: where its next page begins, so that a crash repeats a page and never skips one.

A list read by page numbers drifts: when a row is changed or deleted while we read, all behind it move up by one and
one of them is never seen. So a page is not asked for by number but by time: everything changed at or after the last
row we saw, the longest unchanged first. A changed row only ever moves to the end, where we shall meet it; a deleted
one moves nothing. Page numbers are left for rows that share one second, and for lists that cannot be sorted.

What is read by page numbers is walked through again until a walk shows no id for the first time and no row twice, a
bounded number of times. A second that fills several pages always is; a whole list when there is reason to (`walks`).
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import TypedDict, cast

import msgspec

from tds_core.sources.base import ListedRow, ListPage
from tds_models.entities.declaration import Increment

#: So often is a list, or a second of it, walked through before it is left as it is, and that is told.
MOST_WALKS = 8
#: So many pages in a row without a row that was not seen before end a list that goes on to promise more.
MOST_BARREN = 3


class Shown(Set[str]):
    """Ids that do not change, in layers: a few more of them cost no copy of all, for a list may show millions.

    A layer is at least twice as large as the next one, so there are few, and an id is copied into few.
    """

    __slots__ = ("_layers",)

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._layers: tuple[Set[str], ...] = (frozenset(ids),)

    def __contains__(self, source_id: object) -> bool:
        return any(source_id in layer for layer in self._layers)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._layers)

    def __len__(self) -> int:
        return sum(map(len, self._layers))

    def beside(self, news: Set[str]) -> "Shown":
        """These ids and `news`, none of which is among them."""
        layers, newest = list(self._layers), news
        while layers and len(layers[-1]) < 2 * len(newest):
            newest = layers.pop() | newest
        found = Shown()
        found._layers = (*layers, newest)
        return found


class StoredPosition(TypedDict, total=False):
    """A position as JSON: its fields but `seen` and `ended`, times in ISO 8601. Empty before a run begins."""

    since: str | None
    page: int
    newest: str | None
    sorted: bool
    origin: str | None
    until: str | None
    page_count: int
    walk: int
    walks_behind: int
    seen_count: int
    row_count: int
    news_count: int
    barren_count: int
    unsettled: str | None
    endless: bool
    asks_order: bool


@dataclass(frozen=True, slots=True)
class Position:
    """`since` and `page` are what to ask for next; `newest` is the newest change seen; `sorted` false: plain paging.

    `origin`: where the pass began. `until`: a list that shows the newest first is read no further than to here.

    `walk` is the number of this walk through what is read by page numbers, which began behind page `walks_behind` of
    the run; `seen` are the ids all its walks showed (`seen_count`: so many; after a pause `seen` may hold ids of pages
    around them as well), `row_count` the rows and `news_count` the new ids of this one, and
    `barren_count` the pages without any that came last. `unsettled`: the first second that was never seen whole.
    `endless`: the list promised more than it had. `asks_order`: the order of changes is asked for, which goes on to the
    end of a pass that finds it ignored: another order would have other rows on its pages.
    """

    since: datetime | None = None
    page: int = 1
    newest: datetime | None = None
    sorted: bool = True
    origin: datetime | None = None
    until: datetime | None = None
    page_count: int = 0
    walk: int = 1
    walks_behind: int = 0
    seen: Shown = field(default_factory=Shown)
    seen_count: int = 0
    row_count: int = 0
    news_count: int = 0
    barren_count: int = 0
    unsettled: datetime | None = None
    endless: bool = False
    asks_order: bool = True
    ended: bool = False

    @classmethod
    def first(cls, increment: Increment, since: datetime | None, *, in_order: bool = True) -> "Position":
        """Where a pass begins that is to see everything changed at or after `since` (`None`: everything).

        `in_order`: the list can be had in the order of changes, as far as anybody knows.
        """
        if increment is Increment.FILTER:
            return cls(since=since, origin=since, sorted=in_order, asks_order=in_order)
        return cls(sorted=False, until=since if increment is Increment.SORTED else None)

    def after(self, page: ListPage) -> "Position":
        """Where the page after `page` begins."""
        timed = [row for row in page.rows if row.modified_at is not None]
        times = [row.modified_at for row in timed if row.modified_at]
        known = [each for each in times if page.clock is None or not page.clock.is_behind(each)]
        newest = max([*known, *([self.newest] if self.newest else [])], default=None)
        asks_order = self.asks_order and not page.order_refused
        moved = replace(self, newest=newest, page_count=self.page_count + 1, asks_order=asks_order)
        if not (self.sorted and not page.disorder and is_ascending(timed)):
            return moved._after_plain(page)
        return moved._after_sorted(page, times[-1] if times else self.since)

    def _after_plain(self, page: ListPage) -> "Position":
        if self.sorted and not (self.page == 1 and self.since == self.origin):
            # The order was lost: from the first page on, for what looked like order may have been none.
            return self.again(since=self.origin)
        here = self._counted(page.rows)
        goes_on = page.has_more and not self._is_behind(page.rows)
        endless = goes_on and here._is_circling(page.rows)
        return replace(here, page=self.page + 1, sorted=False, endless=endless, ended=endless or not goes_on)

    def _after_sorted(self, page: ListPage, last: datetime | None) -> "Position":
        here = self._counted([row for row in page.rows if row.modified_at in (None, self.since)])
        if last == self.since and page.has_more:
            if here._is_circling(page.rows):
                return replace(here, endless=True, ended=True, unsettled=self.unsettled or self.since or EARLIEST)
            return replace(here, page=self.page + 1)
        if self.page > 1 and not here.is_settled:
            if self.walk < MOST_WALKS:
                return here.next_walk()
            here = replace(here, unsettled=here.unsettled or here.since or EARLIEST)
        if self.page > 1 and self.since and self.since not in [row.modified_at for row in page.rows]:
            return here._beside(since=just_after(self.since))
        return here._beside(since=last, ended=not page.has_more)

    def _is_circling(self, rows: Sequence[ListedRow]) -> bool:
        """Whether the pages that came last show that the list, which promises more, has no more."""
        walked_round = not rows or self.walk == 1 or self.row_count >= 2 * self.seen_count
        return walked_round and self.barren_count >= MOST_BARREN

    def _counted(self, rows: Sequence[ListedRow]) -> "Position":
        """This position with `rows` among those seen."""
        news = {row.source_id for row in rows if row.source_id not in self.seen}
        return replace(
            self,
            seen=self.seen.beside(news) if news else self.seen,
            seen_count=self.seen_count + len(news),
            row_count=self.row_count + len(rows),
            news_count=self.news_count + len(news),
            barren_count=0 if news else self.barren_count + 1,
        )

    @property
    def is_settled(self) -> bool:
        """Whether this walk showed nothing for the first time and nothing twice: then none of them missed a row."""
        return self.walk > 1 and not self.news_count and self.row_count <= self.seen_count

    def next_walk(self) -> "Position":
        """Where the walks begin once more."""
        return replace(
            self, page=1, walk=self.walk + 1, row_count=0, news_count=0, barren_count=0, endless=False, ended=False
        )

    def again(self, *, since: datetime | None) -> "Position":
        """The first page of the whole list, without an order."""
        return replace(self._beside(since=since), sorted=False)

    def _beside(self, *, since: datetime | None, ended: bool = False) -> "Position":
        """Another moment to ask for, with no walk through it yet."""
        return Position(
            since=since, newest=self.newest, origin=self.origin, page_count=self.page_count, ended=ended,
            walks_behind=self.page_count, unsettled=self.unsettled, asks_order=self.asks_order,
        )  # fmt: skip

    @property
    def reached(self) -> datetime | None:
        """How far the source was seen whole: where the next pass may begin."""
        reached = self.newest if self.ended else self.since
        if reached and self.newest:
            reached = min(reached, self.newest)  # never by a time that the source's own clock had not come to
        if reached and self.unsettled:
            reached = min(reached, self.unsettled - timedelta(seconds=1)) if self.unsettled != EARLIEST else None
        return reached

    def _is_behind(self, rows: Sequence[ListedRow]) -> bool:
        """Whether a list that shows the newest first has come to what was known already."""
        return self.until is not None and any(row.modified_at < self.until for row in rows if row.modified_at)

    def as_json(self) -> StoredPosition:
        """The position as it is stored, without the ids. One that ended is stored as its last page, to be asked for
        once more.
        """
        fields = msgspec.to_builtins(self, enc_hook=lambda _seen: None)
        stored = {name: value for name, value in fields.items() if name not in ("seen", "ended")}
        return cast("StoredPosition", stored)

    @classmethod
    def from_json(cls, stored: StoredPosition) -> "Position":
        """The position that was stored; what it had seen is to be filled in."""
        return msgspec.convert(stored, cls)


#: Stands for the whole list where no row of it had a time.
EARLIEST = datetime.min.replace(tzinfo=UTC)


def just_after(moment: datetime) -> datetime:
    """The next moment a source can tell from `moment`: it stamps whole seconds, or as finely as it can."""
    return moment + (timedelta(microseconds=1) if moment.microsecond else timedelta(seconds=1))


def is_ascending(rows: Sequence[ListedRow]) -> bool:
    """Whether `rows` (all with a time) stand in the order of their changes."""
    return all(a.modified_at <= b.modified_at for a, b in pairwise(rows) if a.modified_at and b.modified_at)
