"""Lists over a real HTTP stand-in: what moves while it is read is not lost, and what is missing is asked for first."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from sqlalchemy import event, text

from tds_core.queue import items
from tds_core.records.apply import apply, try_lock_rows
from tds_core.records.transform import Provenance, RecordView, no_known_keys, transform
from tds_core.sources.base import ListedRow
from tds_core.sync import deletions, page_apply
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_tasks import context
from tds_tasks import runs as run_tasks
from tests.support.standin import StandIn, before_page, names
from tests.support.world import ScriptedSource, World, at, delivery, product

ITEMS = "/inventory/v1/items"
#: A run's lease is taken when it is claimed, and given back when it rests.
CLAIM_AND_YIELD = 2


def test_a_second_pass_over_equal_bytes_writes_nothing(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    before = synced.rows("select source_id, xmin::text, changed_at, version from erp.product order by source_id")
    run = synced.run("product", "full")
    assert run["outcomes"]["unchanged"] >= 45
    assert set(run["outcomes"]) <= {"unchanged", "absent"}
    after = synced.rows("select source_id, xmin::text, changed_at, version from erp.product order by source_id")
    assert after == before


def test_a_page_of_equal_bytes_costs_one_query_and_moves_nothing_but_its_run(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    run_id = synced.request_run("product", "full")
    said: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        said.append(statement)

    event.listen(context._engine(context.getpid()), "before_cursor_execute", listen)
    assert run_tasks.advance_run(run_id, slice_seconds=0)
    pages = synced.run_row(run_id)["page_count"]
    assert len([each for each in said if "erp.product t" in each]) == pages
    assert len([each for each in said if "leased_until" in each and "page_count = " in each]) == pages
    assert len([each for each in said if "leased_until" in each]) == pages + CLAIM_AND_YIELD


def test_documents_are_read_whole_only_where_the_list_shows_a_change(synced: World, standin: StandIn) -> None:
    synced.run("invoice", "full")
    assert len(synced.mirror("invoice", "number")) == 25
    assert len(synced.rows("select distinct parent_id from erp.invoice_line")) == 25
    standin.edit("invoices", standin.ids("invoices")[3], notes="seen")
    standin.calls.clear()
    synced.run("invoice", "incremental")
    details = [path for path in standin.calls if path.startswith("/books/v3/invoices/")]
    assert len(details) == 1
    assert list(synced.mirror("invoice", "notes").values()).count(("seen",)) == 1


def test_an_incremental_pass_reads_only_what_changed(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    changed = standin.ids("items")[:3]
    for record_id in changed:
        standin.edit("items", record_id, rate=77.5)
    run = synced.run("product", "incremental")
    assert run["outcomes"]["updated"] == 3
    assert run["fetched_count"] < 15
    assert {key for key, (price,) in synced.mirror("product", "price").items() if price == 77.5} >= set(changed)


@pytest.mark.parametrize("page", [2, 3, 4])
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_edits_and_deletions_while_listing_lose_nothing(synced: World, standin: StandIn, page: int, mode: str) -> None:
    ids = standin.ids("items")

    def move() -> None:
        standin.delete("items", ids[0])
        standin.delete("items", ids[12])
        for record_id in (ids[1], ids[11], ids[40]):
            standin.edit("items", record_id, rate=99.5)

    before_page(standin, page, move)
    synced.run("product", mode)
    deleted = {ids[0], ids[12]}
    assert {key: value for key, value in synced.mirror("product", "name").items() if key not in deleted} == names(
        standin
    )
    changed = {key for key, (price,) in synced.mirror("product", "price").items() if price == 99.5}
    assert changed >= {ids[1], ids[11], ids[40]}


def test_records_of_one_second_are_not_lost_when_one_of_them_moves(synced: World, standin: StandIn) -> None:
    collection = standin.sandbox.world.collections["items"]
    for record in collection.records.values():
        record.modified = 1_790_000_000
    collection.fill([])
    ids = standin.ids("items")
    before_page(standin, 4, lambda: (standin.edit("items", ids[0], rate=5), standin.edit("items", ids[15], rate=6)))
    run = synced.run("product", "incremental")
    assert run["state"] == "completed"
    assert synced.mirror("product", "name") == names(standin)


def test_a_full_pass_finds_what_is_gone_and_asks_before_it_believes(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    gone = standin.ids("items")[5]
    standin.delete("items", gone)
    run = synced.run("product", "full")
    assert run["outcomes"]["absent"] == 1
    assert f"{ITEMS}/{gone}" in standin.calls
    assert synced.row("product", gone)["deleted_at"] is not None
    assert len(synced.mirror("product", "name")) == 44


def test_a_record_that_a_list_forgot_is_read_and_lives_on(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    record = standin.sandbox.world.collections["items"].records[standin.ids("items")[5]]
    record.state["status"] = "inactive"
    synced.execute("update tds_sync_runs set state = 'completed'")
    standin.sandbox.world.collections["items"].fill([])
    hidden = hide(standin, record.id)
    synced.run("product", "full")
    hidden()
    assert synced.row("product", record.id)["deleted_at"] is None
    assert synced.row("product", record.id)["status"] == "inactive"


def hide(standin: StandIn, record_id: str) -> Callable[[], None]:
    """Leave a record out of every list, as Zoho's search index sometimes does. Call the answer to show it again."""
    collection = standin.sandbox.world.collections["items"]
    whole = collection.view
    collection.view = lambda *given: [e for e in whole(*given) if e[1] != record_id]  # type: ignore[method-assign]
    return lambda: setattr(collection, "view", whole)


def test_a_list_that_does_not_end_well_deletes_nothing(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    before_page(standin, 3, lambda: standin.fail("html_502", ITEMS, count=100))
    run_id = synced.request_run("product", "full")
    for _ in range(12):
        synced.execute("update tds_sync_runs set next_attempt_at = now()")
        synced.advance(run_id)
    assert synced.run_row(run_id)["state"] == "running", "it waits for a breaker's next probe"
    assert synced.queue_depth() == 0
    assert len(synced.mirror("product", "name")) == 45


def test_a_missing_page_context_ends_a_list_without_deleting_what_it_did_not_show(
    synced: World, standin: StandIn
) -> None:
    synced.run("product", "full")
    before_page(standin, 2, lambda: standin.fail("no_page_context", ITEMS))
    synced.run("product", "full")
    assert len(synced.mirror("product", "name")) == 45


def test_a_value_that_cannot_be_read_is_one_finding_however_many_passes_meet_it(
    synced: World, standin: StandIn
) -> None:
    bad = standin.ids("items")[4]
    standin.sandbox.world.collections["items"].records[bad].state["rate"] = "9,99"
    for mode in ("full", "full", "incremental"):
        synced.run("product", mode)
    found = synced.rows("select subject, detail, resolved_at from tds_findings where kind = 'unreadable_value'")
    assert [(each["subject"], each["resolved_at"]) for each in found] == [(f"{bad} rate", None)]
    assert found[0]["detail"]["reason"] == "expected a number, got '9,99'"
    assert len(synced.mirror("product", "name")) == 45
    assert synced.row("product", bad)["price"] is None
    standin.edit("items", bad, name="Still odd")
    synced.run("product", "incremental")
    assert synced.value("select count(*) from tds_findings where resolved_at is null") == 1
    standin.edit("items", bad, rate=5)
    synced.run("product", "incremental")
    assert synced.row("product", bad)["price"] == 5
    assert synced.value("select resolved_by from tds_findings where kind = 'unreadable_value'") == "sync"
    assert synced.value("select count(*) from tds_dead_letter_queue") == 0


def test_a_row_the_database_refuses_is_one_dead_letter_however_many_passes_meet_it(
    synced: World, standin: StandIn
) -> None:
    bad = standin.ids("items")[4]
    synced.execute("alter table erp.product add constraint no_evil check (name <> 'Evil')")
    standin.edit("items", bad, name="Evil")
    for mode in ("full", "full", "incremental"):
        synced.run("product", mode)
    letters = synced.rows("select source_id, error from tds_dead_letter_queue where resolved_at is null")
    assert [(each["source_id"], "no_evil" in each["error"]) for each in letters] == [(bad, True)]
    assert len(synced.mirror("product", "name")) == 44
    standin.edit("items", bad, name="Good")
    synced.run("product", "incremental")
    assert synced.row("product", bad)["name"] == "Good"
    assert synced.value("select resolution from tds_dead_letter_queue") == "healed"


def test_a_change_in_the_very_second_of_a_reading_is_not_lost(synced: World, standin: StandIn) -> None:
    now = [float(int(standin.sandbox.clock.source()))]
    standin.sandbox.clock.source = lambda: now[0]
    changed = standin.ids("invoices")[0]
    standin.edit("invoices", changed, reference_number="first")
    synced.run("invoice", "full")
    standin.edit("invoices", changed, reference_number="second")
    synced.run("invoice", "incremental")
    assert synced.row("invoice", changed)["reference_number"] == "second"


def test_what_a_long_list_left_out_is_found_however_little_memory_there_is(world: World) -> None:
    run_id, count = world.request_run("product", "full"), 50_000
    world.execute("update tds_sync_runs set started_at = now() + interval '1 hour'")
    world.execute(
        "insert into erp.product (source, source_id, name, version, source_record)"
        " select 'zoho', cast(n as text), 'x', 1, '{}' from generate_series(0, :count) n",
        count=count,
    )
    world.execute(
        "insert into tds_sync_run_pages (run_id, page, source_ids, fetch_seconds, apply_seconds)"
        " select :run, n / 200 + 1, array_agg(cast(n as text)), 1, 1 from generate_series(1, :count) n group by 2",
        run=run_id,
        count=count,
    )
    world.execute("analyze erp.product, tds_sync_run_pages")
    with session_scope(world.engine) as session:
        session.execute(text("set local work_mem = '64kB'; set local statement_timeout = '15s'"))
        assert deletions.absent(session, ENTITIES["product"], Listed(run_id)) == ["0"]


@dataclass
class Listed:
    """A pass whose pages are all read."""

    id: int
    correlation_id: str = ""


def test_a_page_and_a_worker_that_meet_at_one_record_never_wait_in_a_circle(
    world: World, source: ScriptedSource
) -> None:
    entity, asked = ENTITIES["product"], Provenance("run", 1)
    world.deliver(delivery("product", product("1", custom_field_hash={"cf_colour": "red"})))
    world.drain("product")
    raw = msgspec.json.encode(product("1", second=5))  # its custom fields are not shown, so it has to be read
    rows = [ListedRow("1", at(5), raw)]

    def take() -> page_apply.PageResult:
        with session_scope(world.engine) as session:
            page = page_apply.diff_page(
                session, entity, rows, read_at=items.database_clock(session), provenance=asked, pending_hashes={},
                thorough=True, known_keys=no_known_keys(entity),
            )  # fmt: skip
            return page_apply.apply_page(session, entity, page, correlation_id="")

    world.enqueue("product", "1")
    claim = world.claim()
    assert claim is not None
    with ThreadPoolExecutor(1) as threads:
        with session_scope(world.engine) as session:
            standing = try_lock_rows(session, entity, ["1"])
            items.fence(session, claim, claim.items)
            taken = threads.submit(take)
            while not taken.done() and not world.value("select count(*) from pg_locks where not granted"):
                time.sleep(0.01)
            apply(session, entity, [transform(entity, raw, view=RecordView.BODY, provenance=asked)], standing.rows)
        assert taken.result().changed_count == 0  # the worker brought it over
    assert world.queue_depth("product") == 1
