"""Passes over a source that never stands still: whatever edits, faults and crashes come between pages, none is missed.

What a list shows late, by less than the overlap, comes with the next pass.
"""

from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tds_core.processing.lease_recovery import recover_expired_leases
from tds_core.sync import page_commit, runs
from tds_models.db import session_scope
from tds_tasks import runs as run_tasks
from tests.support.hypothesis_effort import effort
from tests.support.moving_source import LivingSource
from tests.support.world import World, at, forget_context, script

KEYS = tuple(range(10))
OVERLAP_SECONDS = 60
CLEAR = ("erp.product", "tds_sync_queue", "tds_sync_cursors", "tds_sync_run_pages", "tds_run_holds", "tds_sync_runs")
OPEN = ("queued", "running")
anyone = st.sampled_from(KEYS)
#: Seconds from one change to the next: in the same second, in one that follows, or beyond the overlap.
TICKS = st.sampled_from((0, 1, 2, 2 * OVERLAP_SECONDS))
under_way = precondition(lambda machine: machine.run_id is not None)
at_rest = precondition(lambda machine: machine.run_id is None)


class Windows(RuleBasedStateMachine):
    """One stream, one run at a time, and the source's own life beside it."""

    world: ClassVar[World]
    patch: ClassVar[pytest.MonkeyPatch]
    #: The history cannot be wiped, so every example has records of its own.
    example: ClassVar[int] = 0

    @initialize(first=st.lists(st.tuples(anyone, TICKS), max_size=12))
    def begin(self, first: list[tuple[int, int]]) -> None:
        Windows.example += 1
        for table in CLEAR:
            self.world.execute(f"delete from {table}")
        self.source: Any = script(self.patch, LivingSource())  # type: ignore[arg-type]
        self.run_id: int | None = None
        self.cursor = None
        for key, ticks in first:
            self.source.change(self.named(key), ticks=ticks)

    def named(self, key: int) -> str:
        return f"{self.example}-{key}"

    # The source lives, between two pages and while one is being answered.

    @rule(changes=st.lists(st.tuples(anyone, TICKS, st.integers(0, OVERLAP_SECONDS - 1)), max_size=5))
    def live(self, changes: list[tuple[int, int, int]]) -> None:
        for key, ticks, stamped_ago in changes:
            self.source.change(self.named(key), ticks=ticks, stamped_ago=stamped_ago)

    @rule(keys=st.lists(anyone, min_size=4, unique=True))
    def change_many_in_one_second(self, keys: list[int]) -> None:
        """So many that one second fills more than a page."""
        self.source.now += 1
        for key in keys:
            self.source.change(self.named(key), ticks=0)

    @rule(key=anyone)
    def delete(self, key: int) -> None:
        self.source.delete(self.named(key))

    @under_way
    @rule(keys=st.lists(anyone, max_size=4), gone=st.lists(anyone, max_size=2))
    def read_a_page_while_things_change(self, keys: list[int], gone: list[int]) -> None:
        self.source.during += [lambda key=key: self.source.change(self.named(key)) for key in keys]
        self.source.during += [lambda key=key: self.source.delete(self.named(key)) for key in gone]
        self.read_a_page()

    # A pass is taken further page by page, and is hurt.

    @at_rest
    @rule(mode=st.sampled_from(("incremental", "incremental", "full")))
    def start(self, mode: str) -> None:
        self.run_id = self.world.request_run("product", mode)

    @under_way
    @rule()
    def read_a_page(self) -> None:
        self.world.execute("update tds_sync_runs set next_attempt_at = now() where lease_token is null")
        run_tasks.advance_run(self.run_id, slice_seconds=0)  # type: ignore[arg-type]
        self._look()

    @under_way
    @rule()
    def find_the_source_away(self) -> None:
        self.source.fails_next = True
        self.read_a_page()

    @under_way
    @rule()
    def cancel(self) -> None:
        """A person stops the pass; the next one begins at what this one has reached."""
        with session_scope(self.world.engine) as session:
            runs.cancel(session, self.run_id or 0, by="ann")
        self._look()

    @under_way
    @rule(written=st.booleans())
    def die_in_the_middle_of_a_page(self, written: bool) -> None:
        """The worker's process ends: nothing of its transaction stays, and its lease runs out."""
        whole = page_commit.commit_pages

        def die(*given: Any, **named: Any) -> None:
            if written:
                whole(*given, **named)
            raise SystemExit

        with self.patch.context() as dying:
            dying.setattr(run_tasks.page_commit, "commit_pages", die)
            with pytest.raises(SystemExit):
                self.read_a_page()
        self.world.execute("update tds_sync_runs set leased_until = now() - interval '1 second'")
        with session_scope(self.world.engine) as session:
            recover_expired_leases(session)
        self._look()

    def _look(self) -> None:
        state = self.world.run_row(self.run_id or 0)["state"]
        if state not in OPEN:
            assert state in ("completed", "cancelled", "failed", "held")
            self.world.execute("update tds_sync_runs set state = 'cancelled' where state = 'held'")
            self.run_id = None

    # What always holds.

    @invariant()
    def the_cursor_never_moves_back_nor_beyond_what_the_source_has_said(self) -> None:
        found = self.world.rows("select modified_at from tds_sync_cursors")
        cursor = found[0]["modified_at"] if found else None
        assert self.cursor is None or (cursor is not None and cursor >= self.cursor)
        assert cursor is None or cursor <= at(self.source.now)
        self.cursor = cursor

    def teardown(self) -> None:
        """Whatever happened: once nothing changes any more, one more pass and the mirror has all of it."""
        if not hasattr(self, "source"):
            return
        self.source.fails_next = False
        while self.run_id is not None:
            self.read_a_page()
        self.world.run("product", "incremental")
        there = {key: (row["rate"],) for key, row in self.source.records.items()}
        here = self.world.mirror("product", "price")
        assert {key: here.get(key) for key in there} == there
        assert set(here) - set(there) <= self.source.deleted


def test_no_interleaving_of_edits_pages_and_crashes_makes_a_pass_miss_a_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TDS_CURSOR_OVERLAP_SECONDS", str(OVERLAP_SECONDS))
    forget_context()
    Windows.world, Windows.patch = world, monkeypatch
    run_state_machine_as_test(Windows, settings=effort(20, steps=25))
