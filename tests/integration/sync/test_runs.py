"""Runs over a real HTTP stand-in: they resume where they stopped, outlive faults, and stop when told."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tds_core.errors import InvalidRecordError
from tds_core.processing.lease_recovery import recover_expired_leases as take_back
from tds_core.sync import page_commit, runs
from tds_core.sync.bulk_insert import PageReader
from tds_models.db import session_scope
from tds_tasks import runs as run_tasks
from tests.support.standin import StandIn, before_page, names
from tests.support.world import World
from zoho_sandbox import writes

ITEMS = "/inventory/v1/items"


def test_a_first_pass_mirrors_everything(synced: World, standin: StandIn) -> None:
    run = synced.run("product", "full")
    assert (run["state"], run["fetched_count"] == 45, run["outcomes"]["created"]) == ("completed", True, 45)
    assert synced.mirror("product", "name") == names(standin)


@pytest.mark.parametrize("entity", ["product", "customer", "invoice", "user", "bill"])
def test_a_record_on_several_pages_counts_once(synced: World, entity: str) -> None:
    for created in (True, False):
        run = synced.run(entity, "full")
        living = synced.value(f"select count(*) from erp.{entity} where deleted_at is null")
        listed = synced.value(
            "select sum(cardinality(source_ids)) from tds_sync_run_pages where run_id = :id", id=run["id"]
        )
        assert run["fetched_count"] == living <= listed
        assert run["outcomes"].get("created" if created else "unchanged") == living, run["outcomes"]
        assert run["outcomes"].get("unchanged" if created else "created") is None, run["outcomes"]


def test_the_counts_of_a_pass_in_slices_are_those_of_one_at_a_stretch(synced: World, standin: StandIn) -> None:
    run_id = synced.request_run("product", "full")
    counts = []
    while run_tasks.advance_run(run_id, slice_seconds=0):
        counts.append(synced.run_row(run_id)["fetched_count"])
    assert len(counts) > 3
    assert counts == sorted(set(counts))
    assert counts[-1] <= synced.run_row(run_id)["fetched_count"] == len(standin.ids("items"))


def test_records_that_break_the_rules_are_counted_once_however_often_they_are_listed(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = set(standin.ids("items")[5:35])
    with standin.sandbox.world.lock:  # so many of one second that its pages are read again and again
        for each in wrong:
            writes.update(standin.sandbox.world, "items", each, {"description": "all at once"})
    read = PageReader.candidate

    def refused(self: PageReader, source_id: str, *given: Any) -> Any:
        if source_id in wrong:
            raise InvalidRecordError("rate: not a number")
        return read(self, source_id, *given)

    monkeypatch.setattr(PageReader, "candidate", refused)
    monkeypatch.setattr("tds_core.sync.page_apply.prepare_creation", lambda *_: None)
    run = synced.run("product", "full")
    assert (run["outcomes"]["invalid"], run["outcomes"]["created"]) == (30, 15)
    assert run["fetched_count"] == 45
    assert synced.value("select count(*) from tds_dead_letter_queue") == 30


def test_a_pass_goes_on_at_the_page_where_it_broke_off(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = synced.request_run("product", "full")
    whole, taken = page_commit.commit_pages, []

    def break_off(*given: Any, **named: Any) -> Any:
        taken.append(given)
        if len(taken) == 3:
            raise RuntimeError("power cut")
        return whole(*given, **named)

    monkeypatch.setattr(run_tasks.page_commit, "commit_pages", break_off)
    with pytest.raises(RuntimeError, match="power cut"):
        synced.advance(run_id)
    assert synced.run_row(run_id)["page_count"] == 2
    assert synced.value("select count(*) from erp.product") >= 19
    assert not run_tasks.advance_run(run_id), "it is still leased"
    synced.execute("update tds_sync_runs set leased_until = now() - interval '1 second'")
    rescue(synced)
    standin.calls.clear()
    synced.advance(run_id)
    run = synced.run_row(run_id)
    assert run["state"] == "completed"
    assert sum(path == ITEMS for path in standin.calls) <= 4
    assert synced.mirror("product", "name") == names(standin)
    assert synced.value("select max(version) from erp.product") == 1


def rescue(world: World) -> None:
    with session_scope(world.engine) as session:
        assert take_back(session).run_count == 1


def test_a_page_is_all_or_nothing(synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = synced.request_run("product", "incremental")
    monkeypatch.setattr(
        page_commit,
        "ADVANCE_RUN",
        page_commit.text("select 1 / 0 where :id > 0"),
    )
    with pytest.raises(Exception, match="division by zero"):
        synced.advance(run_id)
    assert synced.value("select count(*) from erp.product") == 0
    assert synced.value("select count(*) from tds_sync_cursors") == 0
    assert synced.run_row(run_id)["page_count"] == 0


@pytest.mark.parametrize(
    "kind", ["html_502", "error_500", "truncated", "reset", "rate_minute", "concurrency", "unauthorized"]
)
def test_a_passing_fault_midway_only_delays_a_pass(synced: World, standin: StandIn, kind: str) -> None:
    run_id = synced.request_run("product", "full")
    before_page(standin, 3, lambda: standin.fail(kind, ITEMS))
    synced.advance(run_id)
    if kind != "unauthorized":
        interrupted = synced.run_row(run_id)
        assert (interrupted["state"], interrupted["page_count"] >= 2) == ("running", True)
    synced.execute("update tds_sync_runs set next_attempt_at = now()")
    synced.execute("update tds_source_tokens set paused_until = null")
    synced.advance(run_id)
    assert synced.run_row(run_id)["state"] == "completed"
    assert synced.mirror("product", "name") == names(standin)


def test_a_filter_the_source_ignores_ends_the_run_and_deletes_nothing(
    synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.run("product", "full")
    monkeypatch.setattr("zoho_sandbox.list_query._since", lambda params, clock: None)
    run = synced.run("product", "incremental")
    assert (run["state"], "filter was ignored" in run["end_reason"]) == ("failed", True)
    assert len(synced.mirror("product", "name")) == 45


@pytest.mark.parametrize("again", [False, True], ids=["new pages", "known pages"])
def test_a_cancelled_run_stops_before_its_next_page(synced: World, standin: StandIn, again: bool) -> None:
    if again:
        synced.run("product", "full")
        standin.calls.clear()
    run_id = synced.request_run("product", "full")

    def cancel() -> None:
        with session_scope(synced.engine) as session:
            assert runs.cancel(session, run_id, by="somebody")

    before_page(standin, 3, cancel)
    synced.advance(run_id)
    run = synced.run_row(run_id)
    assert (run["state"], run["end_reason"]) == ("cancelled", "cancelled by somebody")
    assert run["page_count"] <= 2
    assert run["lease_token"] is None
    calls = len(standin.calls)
    synced.advance(run_id)
    assert len(standin.calls) == calls


def test_a_waiting_run_is_cancelled_at_once_and_an_ended_one_never(synced: World) -> None:
    run_id = synced.request_run("product", "full")
    for expected in (True, False):
        with session_scope(synced.engine) as session:
            assert runs.cancel(session, run_id, by="somebody") is expected
    assert synced.run_row(run_id)["state"] == "cancelled"


def test_two_passes_over_one_stream_are_one(synced: World) -> None:
    assert synced.request_run("product", "full") == synced.request_run("product", "incremental")
    assert synced.request_run("vendor", "full") != synced.request_run("product", "full")


def test_a_run_that_rests_between_slices_goes_on_where_it_was(synced: World, standin: StandIn) -> None:
    run_id = synced.request_run("product", "full")
    slices = 0
    while run_tasks.advance_run(run_id, slice_seconds=0):
        slices += 1
    assert slices >= 4
    assert synced.run_row(run_id)["outcomes"]["created"] == 45
    assert synced.nudged == ["tds.run.advance"] * slices


def test_a_run_that_silences_every_worker_ends_failed(synced: World) -> None:
    run_id = synced.request_run("product", "full")
    for _ in range(5):
        synced.execute("update tds_sync_runs set next_attempt_at = now()")
        synced.execute(
            "update tds_sync_runs set state = 'running', lease_token = gen_random_uuid(),"
            " leased_until = now() - interval '1 second'"
        )
        rescue(synced)
    run = synced.run_row(run_id)
    assert (run["state"], run["ended_at"] is not None, run["lease_token"]) == ("failed", True, None)
    assert "at the same page 5 times" in run["end_reason"]


def test_a_run_that_is_cancelled_while_it_is_put_off_ends_at_once(synced: World) -> None:
    run_id = synced.request_run("product", "full")
    with session_scope(synced.engine) as session:
        run = runs.claim_run(session, run_id, lease_seconds=60, overlap_seconds=0)
        assert run is not None
        runs.cancel(session, run_id, by="somebody")
        runs.yield_run(session, run, delay_seconds=3600, reason="the quota is used up")
    row = synced.run_row(run_id)
    assert (row["state"], row["end_reason"], row["ended_at"] is not None) == (
        "cancelled",
        "cancelled by somebody",
        True,
    )


def test_those_who_ask_for_passes_at_once_get_the_same_one(synced: World) -> None:
    """While a full pass is being asked for, an incremental one is asked for and then made a full one: two of a kind."""
    with ThreadPoolExecutor(2) as pool, session_scope(synced.engine) as session:
        first = runs.request_run(session, entity="product", mode="full", requested_by="test")
        others = []
        for mode in ("incremental", "full"):
            others.append(pool.submit(synced.request_run, "product", mode))
            time.sleep(0.3)
        session.commit()
        assert [other.result() for other in others] == [first, first]


class TestPagesOfNewRecords:
    """They are written together, as many as wait."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tds_core.sync.bulk_insert.MIN_COPY_ROWS", 2)

    def test_they_count_as_pages_written_one_by_one(
        self, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit, together = page_commit.commit_pages, []

        def count(session: Any, run: Any, pages: Any, **named: Any) -> Any:
            together.append(len(pages))
            return commit(session, run, pages, **named)

        monkeypatch.setattr(run_tasks.page_commit, "commit_pages", count)
        run = synced.run("product", "full")
        assert max(together) > 1
        assert sum(together) == run["page_count"]
        assert run["outcomes"] == {"created": 45, "to_read": 45, "absent": 0}
        assert run["fetched_count"] == 45
        assert synced.mirror("product", "name") == names(standin)
        assert synced.value("select count(*) from tds_audit_trail where entity = 'product' and version = 1") == 45
        assert synced.value("select count(*) from tds_sync_run_pages where run_id = :id", id=run["id"]) == sum(together)

    def test_where_one_exists_already_each_is_written_by_itself(
        self, synced: World, standin: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tds_core.sync.bulk_insert.try_copy", lambda *_: False)
        assert synced.run("product", "full")["outcomes"] == {"created": 45, "to_read": 45, "absent": 0}
        assert synced.mirror("product", "name") == names(standin)

    def test_one_that_the_database_refuses_costs_no_other(self, synced: World, standin: StandIn) -> None:
        bad = standin.ids("items")[20]
        synced.execute(f"alter table erp.product add constraint never check (source_id <> '{bad}')")
        assert synced.run("product", "full")["outcomes"] == {"created": 44, "invalid": 1, "to_read": 44, "absent": 0}
        assert synced.value("select source_id from tds_dead_letter_queue") == bad
        assert len(synced.mirror("product", "name")) == 44
