"""The decision promises that the mirror never goes backwards, whichever way the news of a record comes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tds_core.records.compare import WRITES, RowOutcome, decide
from tds_core.records.transform import Candidate, Provenance, RecordView, tombstone
from tests.support.world import at

FROM = Provenance("test")


def candidate(
    value: Any, *, second: int | None, view: RecordView = RecordView.DETAIL, read_at: float | None = None
) -> Candidate:
    return Candidate(
        source_id="1",
        modified_at=None if second is None else at(second),
        values={"x": value},
        lines={},
        record=b"{}",
        view=view,
        read_at=None if view is RecordView.BODY or read_at is None else at(read_at),
        list_hash=b"h" if view is RecordView.LIST else None,
        provenance=FROM,
    )


def row(value: Any, *, second: int | None, changed: float = 100, **more: Any) -> dict[str, Any]:
    stood = {
        "x": value,
        "source_modified_at": None if second is None else at(second),
        "changed_at": at(changed),
        "confirmed_at": None,
        "deleted_at": None,
        "list_hash": None,
        "version": 1,
    }
    return {**stood, **more}


def body(value: Any, *, second: int) -> Candidate:
    return candidate(value, second=second, view=RecordView.BODY)


def test_a_record_nobody_knew_is_created() -> None:
    decision = decide(body("a", second=1), None)
    assert (decision.outcome, decision.changes) == (RowOutcome.CREATED, {"x": (None, "a")})


def test_an_older_record_never_overwrites_a_newer_one() -> None:
    for view in RecordView:
        older = candidate("old", second=4, view=view, read_at=999)
        assert decide(older, row("new", second=5)).outcome is RowOutcome.STALE


def test_a_newer_record_is_written_whichever_way_it_came() -> None:
    for view in RecordView:
        decision = decide(candidate("new", second=6, view=view, read_at=0), row("old", second=5))
        assert (decision.outcome, decision.changes) == (RowOutcome.UPDATED, {"x": ("old", "new")})


def test_an_unchanged_but_newer_record_advances_the_time() -> None:
    decision = decide(body("a", second=6), row("a", second=5))
    assert (decision.outcome, decision.touch) == (RowOutcome.UNCHANGED, True)


def test_an_unchanged_record_of_the_same_time_writes_nothing() -> None:
    decision = decide(body("a", second=5), row("a", second=5))
    assert (decision.outcome, decision.touch) == (RowOutcome.UNCHANGED, False)


def test_a_reading_confirms_what_only_a_webhook_said_once() -> None:
    reading = candidate("a", second=5, read_at=101)
    assert decide(reading, row("a", second=5)).touch
    assert decide(reading, row("a", second=5, confirmed_at=at(6))).touch, "in the second of the change"
    assert not decide(reading, row("a", second=5, confirmed_at=at(70))).touch


def test_a_list_page_teaches_the_row_its_list_fingerprint() -> None:
    listed = candidate("a", second=5, view=RecordView.LIST, read_at=101)
    assert decide(listed, row("a", second=5, confirmed_at=at(70), list_hash=b"other")).touch
    assert not decide(listed, row("a", second=5, confirmed_at=at(70), list_hash=b"h")).touch


def test_another_body_of_the_same_second_proves_nothing() -> None:
    assert decide(body("b", second=5), row("a", second=5)).outcome is RowOutcome.REFETCH


def test_a_reading_of_the_same_second_wins_only_over_what_stood_when_it_was_asked() -> None:
    current = row("a", second=5, changed=100)
    assert decide(candidate("b", second=5, read_at=101), current).outcome is RowOutcome.UPDATED
    for overtaken in (99, 100):
        assert decide(candidate("b", second=5, read_at=overtaken), current).outcome is RowOutcome.REFETCH


def test_a_record_without_a_time_is_trusted_only_when_it_was_read() -> None:
    assert decide(candidate("b", second=None, read_at=101), row("a", second=5)).outcome is RowOutcome.UPDATED
    assert decide(candidate("b", second=None, view=RecordView.BODY), row("a", second=5)).outcome is RowOutcome.REFETCH
    assert decide(body("b", second=1), row("a", second=None)).outcome is RowOutcome.UPDATED


def test_a_body_never_resurrects_a_deleted_record() -> None:
    gone = row("a", second=5, deleted_at=at(100))
    assert decide(body("b", second=900), gone).outcome is RowOutcome.REFETCH


def test_a_reading_after_the_deletion_restores_and_one_from_before_does_not() -> None:
    gone = row("a", second=5, deleted_at=at(100), changed=100)
    assert decide(candidate("b", second=6, read_at=101), gone).outcome is RowOutcome.RESTORED
    assert decide(candidate("b", second=6, read_at=99), gone).outcome is RowOutcome.REFETCH


def test_what_the_source_no_longer_has_becomes_a_tombstone_once() -> None:
    missing = tombstone("1", read_at=at(101), provenance=FROM)
    assert decide(missing, None).outcome is RowOutcome.DELETED
    assert decide(missing, row("a", second=5)).outcome is RowOutcome.DELETED
    assert decide(missing, row("a", second=5, deleted_at=at(100))).outcome is RowOutcome.UNCHANGED


def test_a_missing_record_that_was_seen_after_it_was_asked_for_is_asked_for_again() -> None:
    missing = tombstone("1", read_at=at(99), provenance=FROM)
    assert decide(missing, row("a", second=5, changed=100)).outcome is RowOutcome.REFETCH


def test_a_field_the_record_does_not_mention_keeps_its_value() -> None:
    current = row("a", second=5, y="kept")
    assert "y" not in decide(candidate("b", second=6), current).changes


def test_one_number_has_one_meaning_however_it_is_spelled() -> None:
    same = decide(candidate(Decimal("1.50"), second=5, read_at=101), row(Decimal("1.5"), second=5))
    assert same.outcome is RowOutcome.UNCHANGED


def test_lines_differ_by_content_order_and_number() -> None:
    lines = [{"position": 0, "sku": "a"}, {"position": 1, "sku": "b"}]
    others: list[list[dict[str, Any]]] = [lines[:1], [*lines, {"position": 2, "sku": "c"}], lines[::-1], []]
    for other in others:
        assert decide(candidate(other, second=6), row(lines, second=5)).outcome is RowOutcome.UPDATED
    assert (
        decide(candidate([dict(line) for line in lines], second=6), row(lines, second=5)).outcome
        is RowOutcome.UNCHANGED
    )


@dataclass
class Mirror:
    """One row in memory, written as the database writes it."""

    row: dict[str, Any] | None = None
    versions: list[int] = field(default_factory=list)
    times: list[Any] = field(default_factory=list)
    owed: bool = False

    def apply(self, seen: Candidate, now: float) -> None:
        decision = decide(seen, self.row)
        self.owed = self.owed or decision.outcome is RowOutcome.REFETCH
        stood: Mapping[str, Any] = self.row or row(None, second=None, version=0)
        if decision.outcome in WRITES or decision.touch:
            later = max((t for t in (stood["source_modified_at"], seen.modified_at) if t), default=None)
            written = decision.outcome in WRITES
            self.row = {
                **stood,
                **seen.values,
                "source_modified_at": later,
                "version": stood["version"] + written,
                "changed_at": at(now) if written or later != stood["source_modified_at"] else stood["changed_at"],
                "confirmed_at": None if seen.view is RecordView.BODY else at(now),
                "deleted_at": at(now) if seen.gone else None if written else stood["deleted_at"],
            }
            self.versions.append(self.row["version"])
            self.times.append(later)


@dataclass
class Life:
    """A record's true life: states numbered 0, 1, 2 … at ticks; the source's stamps are coarser than ticks."""

    changed: list[int]
    coarse: int
    deleted: bool

    def state_at(self, tick: float) -> int | None:
        """The number of the state that holds at `tick`; `None` once deleted."""
        known = [n for n, changed in enumerate(self.changed) if changed <= tick]
        if self.deleted and len(known) == len(self.changed):
            return None
        return known[-1]

    def read(self, tick: float, view: RecordView) -> Candidate:
        number = self.state_at(tick)
        if number is None:
            return tombstone("1", read_at=at(tick), provenance=FROM)
        return candidate(f"state {number}", second=self.changed[number] // self.coarse, view=view, read_at=tick)

    def body(self, number: int) -> Candidate:
        return body(f"state {number}", second=self.changed[number] // self.coarse)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Life, list[tuple[float, Candidate]]]:
    """A life and the order in which its news arrive: bodies late and doubled, readings overtaken by others."""
    steps = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    changed = [sum(steps[: n + 1]) for n in range(len(steps))]
    deleted = draw(st.booleans()) and len(changed) > 1
    life = Life(changed, draw(st.sampled_from((1, 3, 1000))), deleted)
    last = len(changed) - 1
    bodied = st.integers(0, last - deleted)
    news: list[tuple[float, Candidate]] = []
    for number in draw(st.lists(bodied, max_size=6)):
        news.append((changed[number] + draw(st.integers(0, 30)), life.body(number)))
    for tick in draw(st.lists(st.integers(changed[0], changed[-1] + 10), max_size=4)):
        seen = draw(st.sampled_from((RecordView.LIST, RecordView.DETAIL)))
        reading = life.read(tick + 0.1, seen)
        news.append((tick + 0.2 + draw(st.integers(0, 20)), reading))
    # Somebody does tell of the end: a body of the last state, or a reading after it.
    if not deleted and draw(st.booleans()):
        news.append((changed[-1] + draw(st.integers(0, 30)), life.body(last)))
    else:
        tick = changed[-1] + draw(st.integers(0, 20)) + 0.1
        news.append((tick + 0.1 + draw(st.integers(0, 20)), life.read(tick, RecordView.DETAIL)))
    arrival = sorted(range(len(news)), key=lambda n: (news[n][0], n))
    return life, [(news[n][0] + k / 1000, news[n][1]) for k, n in enumerate(arrival)]


@settings(max_examples=400, deadline=None)
@given(lives())
def test_any_order_of_news_ends_in_the_newest_true_state(told: tuple[Life, list[tuple[float, Candidate]]]) -> None:
    life, news = told
    mirror = Mirror()
    for now, seen in news:
        mirror.apply(seen, now)
    if mirror.owed:
        mirror.apply(life.read(900, RecordView.DETAIL), 901)
    assert mirror.row is not None
    truth = life.state_at(1000)
    if truth is None:
        assert mirror.row["deleted_at"] is not None
    else:
        assert (mirror.row["x"], mirror.row["deleted_at"]) == (f"state {truth}", None)
    assert mirror.versions == sorted(mirror.versions)
    assert [t for t in mirror.times if t] == sorted(t for t in mirror.times if t)
