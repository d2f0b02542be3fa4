"""Applying promises on the real database what the decision promises on paper, also when two write at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from threading import Barrier
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tds_core.queue.items import database_clock
from tds_core.records.apply import apply
from tds_core.records.compare import RowOutcome
from tds_core.records.transform import Candidate, Provenance, RecordView, tombstone, transform
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.world import World, at, invoice, product

FROM = Provenance("test")


def candidate(entity: str, record: dict[str, Any], *, view: RecordView, read_at: datetime | None = None) -> Candidate:
    raw = msgspec.json.encode(record)
    return transform(ENTITIES[entity], raw, view=view, provenance=FROM, read_at=read_at)


def put(world: World, entity: str, *candidates: Candidate) -> list[RowOutcome]:
    with session_scope(world.engine) as session:
        return [each.outcome for each in apply(session, ENTITIES[entity], candidates)]


def clock(world: World) -> datetime:
    with session_scope(world.engine) as session:
        return database_clock(session)


def test_of_two_candidates_of_one_record_the_later_one_counts(world: World) -> None:
    bodies = [candidate("product", product(second=n, rate=n), view=RecordView.BODY) for n in (1, 2)]
    assert put(world, "product", *bodies) == [RowOutcome.CREATED]
    assert world.row("product", "460000000000001")["price"] == 2


def test_ten_that_create_one_record_at_once_make_one_row_of_its_newest_state(world: World) -> None:
    barrier = Barrier(10)

    def create(second: int) -> list[RowOutcome]:
        body = candidate("product", product(second=second, rate=second), view=RecordView.BODY)
        barrier.wait()
        return put(world, "product", body)

    with ThreadPoolExecutor(10) as threads:
        outcomes = [outcome for each in threads.map(create, range(10)) for outcome in each]
    assert outcomes.count(RowOutcome.CREATED) == 1
    assert world.row("product", "460000000000001")["price"] == 9
    versions = [entry["version"] for entry in world.audit("product", "460000000000001")]
    assert versions == list(range(1, len(versions) + 1))


def test_two_pages_that_share_records_in_opposite_order_never_wait_in_a_circle(world: World) -> None:
    keys = [str(n) for n in range(60)]

    def write(number: int) -> None:
        for second in range(12):
            order = keys if number % 2 else keys[::-1]
            page = [
                candidate("product", product(key, second=second, rate=number), view=RecordView.BODY) for key in order
            ]
            put(world, "product", *page)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    assert world.value("select count(*) from erp.product") == 60
    assert world.value("select count(distinct source_modified_at) from erp.product") == 1


def test_a_hundred_new_documents_keep_their_own_lines(world: World) -> None:
    bodies = []
    for number in range(100):
        lines = [{"line_item_id": f"{number}-{k}", "quantity": k + 1} for k in range(number % 4)]
        bodies.append(candidate("invoice", invoice(str(number), line_items=lines), view=RecordView.BODY))
    assert put(world, "invoice", *bodies) == [RowOutcome.CREATED] * 100
    found = world.rows("select parent_id, line_id, quantity from erp.invoice_line")
    assert len(found) == sum(number % 4 for number in range(100))
    assert all(row["line_id"].startswith(f"{row['parent_id']}-") for row in found)


def test_a_list_row_leaves_alone_what_it_does_not_show(world: World) -> None:
    put(world, "invoice", candidate("invoice", invoice(), view=RecordView.BODY))
    shown = {key: value for key, value in invoice(second=5, status="paid").items() if key != "line_items"}
    put(world, "invoice", candidate("invoice", shown, view=RecordView.LIST, read_at=clock(world)))
    row = world.row("invoice", "460000000900001")
    assert (row["status"], row["source_modified_at"]) == ("paid", at(5))
    assert world.value("select count(*) from erp.invoice_line") == 2


def test_the_source_s_record_is_one_state_as_one_door_sent_it(world: World) -> None:
    key = "460000000900001"

    def see(second: int, view: RecordView, **more: Any) -> tuple[Any, ...]:
        read_at = None if view is RecordView.BODY else clock(world)
        put(world, "invoice", candidate("invoice", invoice(second=second, **more), view=view, read_at=read_at))
        row = world.row("invoice", key)
        record = {name: row["source_record"].get(name) for name in more}
        return row["source_record_seen"], row["source_record_at"], record == more

    assert see(0, RecordView.LIST, notes="a") == ("list", at(0), True)
    assert see(1, RecordView.LIST, due_date="2026-11-02") == ("list", at(1), True)
    assert "notes" not in world.row("invoice", key)["source_record"], "one list row follows another, whole"
    assert see(2, RecordView.BODY, notes="b") == ("body", at(2), True)
    assert see(3, RecordView.LIST, notes="c") == ("body", at(2), False), "it says that it is older"
    assert world.row("invoice", key)["source_modified_at"] == at(3)
    assert see(3, RecordView.DETAIL, notes="c") == ("detail", at(3), True)
    assert see(4, RecordView.BODY, notes="d") == ("body", at(4), True)
    part = replace(candidate("invoice", invoice(second=5, notes="e"), view=RecordView.BODY), partial=True)
    put(world, "invoice", part)
    row = world.row("invoice", key)
    assert (row["notes"], row["source_record"]["notes"]) == ("e", "d")
    assert (row["source_record_seen"], row["source_record_at"], row["lines_confirmed_at"]) == ("body", at(4), None)


def test_a_body_makes_a_row_unconfirmed_and_a_reading_confirms_it_without_a_version(world: World) -> None:
    put(world, "product", candidate("product", product(), view=RecordView.BODY))
    assert world.row("product", "460000000000001")["confirmed_at"] is None
    put(world, "product", candidate("product", product(), view=RecordView.DETAIL, read_at=clock(world)))
    row = world.row("product", "460000000000001")
    assert (row["confirmed_at"] is not None, row["version"]) == (True, 1)


class Life:
    """One record's true life at the source, and how its news reach the mirror."""

    def __init__(self, world: World, key: str) -> None:
        self.world, self.key = world, key
        self.states = [product(key, second=0, rate=0)]
        self.second = 0
        self.readings: list[Candidate] = []
        self.owed = False

    def change(self, number: int) -> None:
        """The record changes, in the same second as before when `number` is odd."""
        self.second += 1 - number % 2
        self.states.append(product(self.key, second=self.second, rate=len(self.states)))

    def body(self, number: int) -> None:
        """A body of any of its states arrives, however late."""
        self.put(candidate("product", self.states[number % len(self.states)], view=RecordView.BODY))

    def newest_body(self, _: int = 0) -> None:
        self.body(len(self.states) - 1)

    def read(self, _: int = 0) -> None:
        """It is read now; the answer is kept."""
        self.readings.append(self.truth())

    def write(self, number: int) -> None:
        """One of the answers is written, whatever happened in the meantime."""
        if self.readings:
            self.put(self.readings.pop(number % len(self.readings)))

    def truth(self) -> Candidate:
        return candidate("product", self.states[-1], view=RecordView.DETAIL, read_at=clock(self.world))

    def gone(self) -> Candidate:
        return tombstone(self.key, read_at=clock(self.world), provenance=FROM)

    def put(self, news: Candidate) -> None:
        self.owed |= RowOutcome.REFETCH in put(self.world, "product", news)


STEPS = st.lists(
    st.tuples(st.sampled_from((Life.change, Life.body, Life.newest_body, Life.read, Life.write)), st.integers(0, 9)),
    min_size=3,
    max_size=25,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.booleans())
def test_any_order_of_news_ends_in_the_newest_true_state(
    world: World, steps: list[tuple[Callable[[Life, int], None], int]], deleted: bool
) -> None:
    life = Life(world, str(clock(world).timestamp()))
    for step, number in steps:
        step(life, number)
    end = life.gone if deleted else life.truth
    if deleted:
        life.put(end())
    else:
        life.newest_body()
    while life.readings:
        life.write(0)
    if life.owed:
        put(world, "product", end())
    row = world.row("product", life.key)
    assert (row["deleted_at"] is not None) == deleted
    if not deleted:
        assert row["price"] == len(life.states) - 1
    trail = world.audit("product", life.key)
    assert [entry["version"] for entry in trail] == list(range(1, row["version"] + 1))
    times = [entry["source_modified_at"] for entry in trail if entry["source_modified_at"]]
    assert times == sorted(times)
