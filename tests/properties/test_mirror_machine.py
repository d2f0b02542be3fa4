"""The mirror as a machine: news of records late, doubled, out of order and overtaken, on a real PostgreSQL.

However the news come, a row never goes back to an older state, and once all was heard it shows the newest.
"""

from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tds_core.invariants.verify import verify
from tds_models.db import session_scope
from tds_tasks import runs as run_tasks
from tests.support.hypothesis_effort import effort
from tests.support.moving_source import LivingSource
from tests.support.world import World, delivery, script

KEYS = (0, 1)
anyone = st.sampled_from(KEYS)
#: How long after the change before it: mostly in the same second, which Zoho's stamps cannot tell apart.
TICKS = st.sampled_from((0, 0, 1))
EVENTS = st.sampled_from(("updated", "updated", "updated", "created", "deleted"))
ROWS = "select source_id, price, version, source_modified_at, deleted_at from erp.product where source_id like :example"
NEVER_LESS = {
    "price": "an older state overwrote a newer one",
    "version": "a version was taken back",
    "source_modified_at": "the row's time went back",
    "deleted_at": "old news brought a deleted record back",
}
#: What else happens while an answer of the source is on its way.
MEANWHILE = st.lists(st.tuples(st.sampled_from(("change", "tell", "list", "delete")), anyone), max_size=3)


class Truth(RuleBasedStateMachine):
    """Two records that change at their source, and every way in which news of them reach the mirror."""

    world: ClassVar[World]
    patch: ClassVar[pytest.MonkeyPatch]
    #: The history cannot be wiped, so every example has records of its own.
    example: ClassVar[int] = 0

    @initialize(past=st.lists(TICKS, min_size=1, max_size=4), known=st.booleans())
    def begin(self, past: list[int], known: bool) -> None:
        """The records have a past of some states; of the last of them the mirror may know."""
        Truth.example += 1
        for table in ("tds_sync_queue", "tds_sync_cursors", "tds_run_holds", "tds_sync_runs"):
            self.world.execute(f"delete from {table}")
        self.source: Any = script(self.patch, LivingSource())  # type: ignore[arg-type]
        self.seen: dict[str, dict[str, Any]] = {}
        for key in KEYS:
            for ticks in past:
                self.source.change(self.named(key), ticks=ticks)
            if known:
                self.tell(key)
        self.work([])

    def named(self, key: int) -> str:
        return f"{self.example}-{key}"

    def rows(self) -> list[dict[str, Any]]:
        return self.world.rows(ROWS, example=f"{self.example}-%")

    # The source lives, and tells of it: of any state, for the first time or again, in any order, true or not.

    @rule(key=anyone, ticks=TICKS, told=st.booleans())
    def change(self, key: int, ticks: int, told: bool) -> None:
        if self.named(key) not in self.source.deleted:
            self.source.change(self.named(key), ticks=ticks)
            if told:
                self.tell(key)

    @rule(key=anyone, told=st.booleans())
    def delete(self, key: int, told: bool) -> None:
        self.source.delete(self.named(key))
        if told:
            self.tell(key, event="deleted")

    @rule(news=st.lists(st.tuples(anyone, st.integers(0, 3), EVENTS), min_size=1, max_size=3), worked=st.booleans())
    def tell_old_and_new(self, news: list[tuple[int, int, str]], worked: bool) -> None:
        for key, ago, event in news:
            self.tell(key, ago, event)
        if worked:
            self.work([])

    def tell(self, key: int, ago: int = 0, event: str = "updated") -> None:
        number = max(0, len(self.source.past[self.named(key)]) - 1 - ago)
        body = self.source.body(self.named(key), number)
        self.world.deliver(delivery("product", body, event=event), window_seconds=0)

    # TDS works: by what it was told, by readings it was asked for, by passes.

    @rule(meanwhile=MEANWHILE)
    def work(self, meanwhile: list[tuple[str, int]]) -> None:
        self._let_happen(meanwhile)
        self.world.drain("product", make_due=True)
        self.source.during.clear()

    @rule(keys=st.sets(anyone, min_size=1), meanwhile=MEANWHILE)
    def read(self, keys: set[int], meanwhile: list[tuple[str, int]]) -> None:
        self.world.enqueue("product", *map(self.named, keys))
        self.work(meanwhile)

    @rule(meanwhile=MEANWHILE)
    def read_a_list(self, meanwhile: list[tuple[str, int]]) -> None:
        self._let_happen([(what, key) for what, key in meanwhile if what != "list"])
        run_id = self.world.request_run("product", "incremental")
        while run_tasks.advance_run(run_id):
            pass

    def _let_happen(self, meanwhile: list[tuple[str, int]]) -> None:
        happen = {
            "change": lambda key: self.change(key, 0, told=False),
            "tell": self.tell,
            "list": lambda key: self.read_a_list([]),
            "delete": lambda key: self.delete(key, told=False),
        }
        self.source.during += [lambda what=what, key=key: happen[what](key) for what, key in meanwhile]

    # What always holds, and what holds in the end.

    @invariant()
    def no_row_goes_back(self) -> None:
        for row in self.rows():
            before = self.seen.get(row["source_id"], {})
            for name, why in NEVER_LESS.items():
                assert before.get(name) is None or (row[name] is not None and row[name] >= before[name]), why
            self.seen[row["source_id"]] = row

    def teardown(self) -> None:
        """Every record is heard of once more, at least by its last webhook; then the mirror shows its newest state."""
        for key in KEYS:
            self.tell(key, event="deleted" if self.named(key) in self.source.deleted else "updated")
        # A pass that was put off keeps what its list found waiting.
        self.world.execute("update tds_sync_runs set state = 'cancelled' where state in ('queued', 'running', 'held')")
        for _ in range(20):
            self.world.drain("product", make_due=True)
        assert self.world.queue_depth("product") == 0
        self.no_row_goes_back()
        there = {key: row["rate"] for key, row in self.source.records.items()}
        assert {row["source_id"]: row["price"] for row in self.rows() if row["deleted_at"] is None} == there
        assert None not in self.world.verdicts()


def test_any_order_of_news_ends_in_the_newest_state_and_no_row_goes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Truth.world, Truth.patch = world, monkeypatch
    run_state_machine_as_test(Truth, settings=effort(25, steps=20))
    with session_scope(world.engine) as session:
        findings = verify(session)
    assert [finding for finding in findings if finding.violation_count] == []
