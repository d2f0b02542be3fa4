"""A run's position promises that a pass misses nothing that was there all along, whatever is edited or deleted."""

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tds_core.sources.base import ListedRow, ListPage
from tds_core.sync.position import Position, Shown
from tds_models.entities.declaration import Increment
from tests.support.world import at

SIZE = 3


@dataclass
class Listing:
    """A source's list, sorted by the time of the last change, paged by number."""

    changed: dict[str, int]
    clock: int = 1000
    seen: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)

    def page(self, position: Position) -> ListPage:
        since = position.since
        rows = sorted((second, key) for key, second in self.changed.items() if since is None or at(second) >= since)
        start = (position.page - 1) * SIZE
        some = rows[start : start + SIZE]
        self.seen |= {key for _, key in some}
        listed = [ListedRow(key, at(second), b"{}") for second, key in some]
        return ListPage(listed, len(rows) > start + SIZE)

    def edit(self, key: str) -> None:
        self.clock += 1
        if key in self.changed:
            self.changed[key] = self.clock

    def delete(self, key: str) -> None:
        self.changed.pop(key, None)
        self.touched.add(key)


def read_all(listing: Listing, moves: dict[int, list[tuple[str, str]]] | None = None) -> Position:
    """Read `listing` to its end; `moves` are made before the page of that number is asked for."""
    position = Position()
    for number in range(500):
        for what, key in (moves or {}).get(number, []):
            (listing.edit if what == "edit" else listing.delete)(key)
        page = listing.page(position)
        position = position.after(page)
        if position.ended:
            return position
    raise AssertionError("the pass never ends")


KEYS = [f"r{n:02d}" for n in range(14)]
MOVES = st.dictionaries(
    st.integers(0, 8), st.lists(st.tuples(st.sampled_from(("edit", "delete")), st.sampled_from(KEYS)), max_size=4)
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=14, max_size=14, unique=True), MOVES)
def test_edits_and_deletions_while_reading_lose_nothing(seconds: list[int], moves: dict) -> None:  # type: ignore[type-arg]
    listing = Listing(dict(zip(KEYS, seconds, strict=True)))
    position = read_all(listing, moves)
    assert set(KEYS) - listing.seen <= listing.touched
    assert position.newest is None or position.newest >= at(max(listing.changed.values(), default=0))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=14, max_size=14), MOVES)
@example(
    [0] * 6 + [1] * 6 + [2] * 2,
    {0: [("edit", f"r{n:02d}") for n in (0, 1, 3)], 4: [("edit", f"r{n:02d}") for n in (2, 4, 5, 6)]},
)
@example(
    [0] * 3 + [1] * 4 + [2] * 7,
    {0: [("delete", f"r{n:02d}") for n in range(7, 14)], 4: [("delete", f"r{n:02d}") for n in range(6)]},
)
def test_records_that_share_a_second_are_all_seen_too(seconds: list[int], moves: dict) -> None:  # type: ignore[type-arg]
    listing = Listing(dict(zip(KEYS, seconds, strict=True)))
    read_all(listing, moves)
    assert set(KEYS) - listing.seen <= listing.touched


@given(st.lists(st.integers(0, 900), min_size=1, max_size=14))
def test_any_quiet_list_is_read_whole_and_without_going_in_circles(seconds: list[int]) -> None:
    listing = Listing(dict(zip(KEYS, seconds, strict=False)))
    position = read_all(listing)
    assert listing.seen == set(listing.changed)
    assert position.newest == at(max(seconds))


@given(st.lists(st.tuples(st.integers(0, 99), st.booleans()), max_size=5), st.booleans())
def test_a_stored_position_is_the_same_position(rows: list[tuple[int, bool]], more: bool) -> None:
    listed = [ListedRow(str(n), at(second) if timed else None, b"") for n, (second, timed) in enumerate(rows)]
    position = Position(since=at(1)).after(ListPage(listed, more))
    assert replace(Position.from_json(position.as_json()), seen=position.seen) == replace(position, ended=False)


def test_a_list_that_is_not_sorted_is_read_by_page_numbers_from_its_first_page() -> None:
    rows = [ListedRow("1", at(9), b""), ListedRow("2", at(3), b"")]
    position = Position().after(ListPage(rows, True))
    assert (position.sorted, position.page, position.since, position.newest) == (False, 2, None, at(9))
    lost_later = Position(since=at(1), page=4).after(ListPage(rows, True))
    assert (lost_later.sorted, lost_later.page, lost_later.since) == (False, 1, None), "what looked like order was none"


def test_an_empty_page_does_not_move_back() -> None:
    position = Position(since=at(5), page=1, newest=at(5)).after(ListPage([], False))
    assert (position.since, position.newest) == (at(5), at(5))


def newest_first(*seconds: int, has_more: bool = True) -> ListPage:
    return ListPage([ListedRow(str(second), at(second), b"{}") for second in seconds], has_more)


def test_a_list_that_shows_the_newest_first_is_read_no_further_than_to_what_was_known() -> None:
    position = Position.first(Increment.SORTED, at(50))
    position = position.after(newest_first(90, 80, 70))
    assert (position.page, position.since, position.ended) == (2, None, False)
    position = Position.from_json(position.as_json()).after(newest_first(60, 50, 49))
    assert (position.ended, position.newest) == (True, at(90))


def test_of_a_list_without_a_filter_every_page_is_read() -> None:
    position = Position.first(Increment.FULL, at(50))
    position = position.after(newest_first(10, 9))
    assert (position.page, position.since, position.ended) == (2, None, False)
    assert position.after(newest_first(8, has_more=False)).ended


def test_a_first_pass_over_a_sorted_list_reads_all_of_it() -> None:
    position = Position.first(Increment.SORTED, None).after(newest_first(90, 1))
    assert (position.page, position.ended) == (2, False)


@given(pages=st.lists(st.sets(st.integers(0, 60).map(str), max_size=9)))
def test_ids_of_before_stay_as_they_were_when_more_are_shown(pages: list[set[str]]) -> None:
    shown, plain = [Shown()], [set[str]()]
    for page in pages:
        shown.append(shown[-1].beside({key for key in page if key not in shown[-1]}))
        plain.append(plain[-1] | page)
    assert [set(each) for each in shown] == plain
    assert [len(each) for each in shown] == [len(each) for each in plain]


class Counted(frozenset[str]):
    """A page's ids, which count how many ids are copied when sets are put together."""

    copied = 0

    def __or__(self, other: Any) -> "Counted":
        Counted.copied += len(self) + len(other)
        return Counted(frozenset(self) | frozenset(other))

    __ror__ = __or__


def test_a_long_list_is_not_copied_page_by_page() -> None:
    shown = Shown()
    for page in range(512):
        shown = shown.beside(Counted(f"{page}-{row}" for row in range(10)))
    assert len(shown) == 5120
    assert Counted.copied < 5120 * 12


def test_a_walk_that_was_laid_down_is_held_to_what_its_second_showed_and_to_nothing_around_it() -> None:
    def page(*rows: tuple[str, int], more: bool = True) -> ListPage:
        return ListPage([ListedRow(key, at(second), b"{}") for key, second in rows], more)

    walked = Position(since=at(1), origin=at(0), page_count=3, walks_behind=3)
    walked = walked.after(page(("a", 1), ("b", 1))).after(page(("c", 1), ("d", 2), ("e", 2)))
    assert (walked.walk, walked.page, walked.since) == (2, 1, at(1))
    # What the database has kept of the pages are their ids: those of the next second, too.
    resumed = replace(Position.from_json(walked.as_json()), seen=Shown("abcde"))
    twice = [page(("a", 1), ("b", 1)), page(("b", 1), ("c", 1), ("d", 2))]
    for each in (walked, resumed):
        assert each.after(twice[0]).after(twice[1]).walk == 3, "a row came twice, so that another may be missing"
