"""The mirror as a machine: news of records late, doubled, out of order and overtaken, on a real PostgreSQL.

However the news come, a row never goes back to an older state, and once all was heard it shows the newest.
"""

from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tds_core.verifying.verify import verify
from tds_models.db import session_scope
from tds_tasks import runs as run_tasks
from tests.effort import effort
from tests.living import LivingSource
from tests.world import World, delivery, script

KEYS = (0, 1, 2)
anyone = st.sampled_from(KEYS)
#: How long after the change before it: in the same second too, which Zoho's stamps cannot tell apart.
TICKS = st.sampled_from((0, 0, 1, 2))
ROWS = "select source_id, price, version, source_modified_at, deleted_at from erp.product where source_id like :example"
MEANWHILE = st.lists(st.tuples(st.sampled_from(("change", "tell", "list", "delete")), anyone), max_size=3)


class Truth(RuleBasedStateMachine):
    """Three records that change at their source, and every way in which news of them reach the mirror."""

    world: ClassVar[World]
    patch: ClassVar[pytest.MonkeyPatch]
    #: The history cannot be wiped, so every example has records of its own.
    example: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        Truth.example += 1
        for table in ("tds_sync_queue", "tds_sync_cursors", "tds_run_holds", "tds_sync_runs"):
            self.world.execute(f"delete from {table}")
        self.source: Any = script(self.patch, LivingSource())  # type: ignore[arg-type]
        self.seen: dict[str, tuple[int, int, Any]] = {}
        for key in KEYS:
            self.source.change(self.named(key))

    def named(self, key: int) -> str:
        return f"{self.example}-{key}"

    @rule(key=anyone, ticks=TICKS, told=st.booleans())
    def change(self, key: int, ticks: int, told: bool) -> None:
        if self.named(key) not in self.source.deleted:
            self.source.change(self.named(key), ticks=ticks)
            if told:
                self.tell(key, 0)

    @rule(key=anyone, told=st.booleans())
    def delete(self, key: int, told: bool) -> None:
        if self.named(key) in self.source.records:
            self.source.delete(self.named(key))
            if told:
                self.tell(key, 0, event="deleted")

    @rule(key=anyone, ago=st.integers(0, 5), event=st.sampled_from(("updated", "updated", "created", "deleted")))
    def tell(self, key: int, ago: int, event: str = "updated") -> None:
        """A webhook of any state arrives, the newest or an old one, for the first time or again, true or not."""
        number = max(0, len(self.source.past[self.named(key)]) - 1 - ago)
        body = self.source.body(self.named(key), number)
        self.world.deliver(delivery("product", body, event=event), window_seconds=ago * 100)

    @rule(keys=st.sets(anyone, min_size=1))
    def ask_for_a_reading(self, keys: set[int]) -> None:
        self.world.enqueue("product", *map(self.named, keys))

    @rule(meanwhile=MEANWHILE)
    def work(self, meanwhile: list[tuple[str, int]]) -> None:
        """Workers do what is due; while the source's answer is on its way, other things happen."""
        self.source.during += [lambda what=what, key=key: self._happen(what, key) for what, key in meanwhile]
        self.world.drain("product", make_due=True)
        self.source.during.clear()

    def _happen(self, what: str, key: int) -> None:
        if what == "list":
            self.read_a_list([])
        elif what == "tell":
            self.tell(key, 0)
        elif what == "change":
            self.change(key, 0, told=False)
        else:
            self.delete(key, told=False)

    @rule(meanwhile=MEANWHILE)
    def read_a_list(self, meanwhile: list[tuple[str, int]]) -> None:
        """A pass brings all the source shows; while its page is on its way, other things happen."""
        self.source.during += [
            lambda what=what, key=key: self._happen(what, key) for what, key in meanwhile if what != "list"
        ]
        run_id = self.world.request_run("product", "incremental")
        self.world.execute("update tds_sync_runs set next_attempt_at = now() where lease_token is null")
        while run_tasks.advance_run(run_id):
            pass

    @invariant()
    def no_row_goes_back(self) -> None:
        if not hasattr(self, "source"):
            return
        for row in self.world.rows(ROWS, example=f"{self.example}-%"):
            number, version, time = self.seen.get(row["source_id"], (-1, 0, None))
            assert row["price"] is None or row["price"] >= number, "an older state overwrote a newer one"
            assert row["version"] >= version
            assert time is None or row["source_modified_at"] >= time
            self.seen[row["source_id"]] = (
                number if row["price"] is None else row["price"],
                row["version"],
                row["source_modified_at"],
            )

    def teardown(self) -> None:
        """Every record is heard of once more, at least by its last webhook; then the mirror shows its newest state."""
        if not hasattr(self, "source"):
            return
        for key in KEYS:
            gone = self.named(key) in self.source.deleted
            self.tell(key, 0, event="deleted" if gone else "updated")
        while self.world.queue_depth("product"):
            self.world.drain("product", make_due=True)
        self.no_row_goes_back()
        there = {key: (row["rate"],) for key, row in self.source.records.items()}
        here = self.world.rows(ROWS, example=f"{self.example}-%")
        assert {row["source_id"]: (row["price"],) for row in here if row["deleted_at"] is None} == there
        assert None not in self.world.verdicts()


def test_any_order_of_news_ends_in_the_newest_state_and_no_row_goes_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Truth.world, Truth.patch = world, monkeypatch
    run_state_machine_as_test(Truth, settings=effort(25, steps=25))
    with session_scope(world.engine) as session:
        findings = verify(session)
    assert [finding for finding in findings if finding.violation_count] == []
