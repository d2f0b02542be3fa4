"""The position of a run: where its next page begins, so that a crash repeats a page and never skips one.

A list read by page numbers drifts: when a row is changed or deleted during the run, all rows behind it move up by one,
and the run never sees one of them. So a run requests pages by time instead: all rows changed at or after the last one
it saw, the longest unchanged first. A changed row only moves to the end, where the run meets it; a deleted row moves no
other. Only rows that share one second, and lists that cannot be sorted, are read by page numbers.

The run walks through rows read by page numbers again until a walk shows no new id and no row twice, at most MOST_WALKS
times. It does so with every second that fills several pages, and with a whole list when there is reason to (`walk`).
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from typing import TypedDict, cast

import msgspec

from tds_core.sources.base import ListedRow, ListPage
from tds_models.entities.declaration import Increment

#: A list, or one second of it, is walked through at most so often; one that is still not settled is reported.
MOST_WALKS = 8
#: So many pages in a row without a new row end a list, even if it promises more.
MOST_BARREN = 3


class Shown(Set[str]):
    """An immutable set of ids in layers: adding a few does not copy all of them, for a list may show millions.

    Each layer is at least twice as large as the next one, so there are few layers, and an id is copied a few times.
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
        """These ids together with `news`, which must hold none of them."""
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
    """The position of a run: `since` and `page` name its next page, `newest` the newest change it has seen.

    `origin`: where the pass began; `until`: how far back a list that shows the newest first is read; `sorted`: False
    for paging by numbers alone; `asks_order`: whether the source is asked for the order of changes. A pass that finds
    the order ignored keeps asking for it to its end, because another order would put other rows on its pages.

    `walk`: the number of the present walk through rows read by page numbers; the walks began after page `walks_behind`
    of the run. `seen`: the ids all these walks showed, `seen_count` of them; after a pause it may also hold ids of
    neighbouring pages. `row_count`, `news_count`: rows and new ids of the present walk; `barren_count`: its last pages
    in a row without a new id. `unsettled`: the first second that was never seen whole. `endless`: the list promised
    more rows than it had.
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
        """The first position of a pass that must see all changes at or after `since`; of all records when it is None.

        `in_order`: the source is not known to ignore the order of changes.
        """
        if increment is Increment.FILTER:
            return cls(since=since, origin=since, sorted=in_order, asks_order=in_order)
        return cls(sorted=False, until=since if increment is Increment.SORTED else None)

    def after(self, page: ListPage) -> "Position":
        """The position of the page that follows `page`."""
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
            # The order was lost. The pass starts over, because the earlier pages may have been out of order, too.
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
        """Whether the last pages show that the list has no more rows, although it promises some."""
        walked_round = not rows or self.walk == 1 or self.row_count >= 2 * self.seen_count
        return walked_round and self.barren_count >= MOST_BARREN

    def _counted(self, rows: Sequence[ListedRow]) -> "Position":
        """This position with `rows` added to those seen."""
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
        """Whether this walk showed no new id and no row twice; then no walk missed a row."""
        return self.walk > 1 and not self.news_count and self.row_count <= self.seen_count

    def next_walk(self) -> "Position":
        """The position where the next walk begins."""
        return replace(
            self, page=1, walk=self.walk + 1, row_count=0, news_count=0, barren_count=0, endless=False, ended=False
        )

    def again(self, *, since: datetime | None) -> "Position":
        """The first page of all rows changed since `since`, without an order."""
        return replace(self._beside(since=since), sorted=False)

    def _beside(self, *, since: datetime | None, ended: bool = False) -> "Position":
        """This position moved to another `since`, before its first walk."""
        return Position(
            since=since, newest=self.newest, origin=self.origin, page_count=self.page_count, ended=ended,
            walks_behind=self.page_count, unsettled=self.unsettled, asks_order=self.asks_order,
        )  # fmt: skip

    @property
    def reached(self) -> datetime | None:
        """The time up to which the run has seen all changes; the next pass may begin there."""
        reached = self.newest if self.ended else self.since
        if reached and self.newest:
            reached = min(reached, self.newest)  # never later than the source's own clock
        if reached and self.unsettled:
            reached = min(reached, self.unsettled - timedelta(seconds=1)) if self.unsettled != EARLIEST else None
        return reached

    def _is_behind(self, rows: Sequence[ListedRow]) -> bool:
        """Whether a list that shows the newest first has reached rows that are known already."""
        return self.until is not None and any(row.modified_at < self.until for row in rows if row.modified_at)

    def as_json(self) -> StoredPosition:
        """The position as it is stored, without the ids. One that has ended is stored as its last page, which is then
        read once more.
        """
        fields = msgspec.to_builtins(self, enc_hook=lambda _seen: None)
        stored = {name: value for name, value in fields.items() if name not in ("seen", "ended")}
        return cast("StoredPosition", stored)

    @classmethod
    def from_json(cls, stored: StoredPosition) -> "Position":
        """The position that was stored; the caller has to add `seen`."""
        return msgspec.convert(stored, cls)


#: Stands for the whole list where no row of it had a time.
EARLIEST = datetime.min.replace(tzinfo=UTC)


def just_after(moment: datetime) -> datetime:
    """The next time stamp a source can give after `moment`: a second later, or a microsecond if it stamps those."""
    return moment + (timedelta(microseconds=1) if moment.microsecond else timedelta(seconds=1))


def is_ascending(rows: Sequence[ListedRow]) -> bool:
    """Whether `rows`, all of which have a time, are in the order of their changes."""
    return all(a.modified_at <= b.modified_at for a, b in pairwise(rows) if a.modified_at and b.modified_at)
