"""What may not be read waits by itself: its module, or the one record; everything else goes on at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from tds_core.sources.zoho.refusal_diagnosis import MAX_RENEWALS, MAX_RENEWALS_IN_DOUBT
from tds_core.sources.zoho.tokens import RENEWAL_WINDOW_SECONDS
from tds_models.entities import ENTITIES
from tds_tasks import context
from tests.support.standin import StandIn
from tests.support.world import World, delivery
from zoho_sandbox.oauth import TokenAnswer

BOOKS = "/books/v3"


@dataclass(frozen=True)
class Refused:
    """A module by how it is refused, and an entity of another module that must not notice."""

    kind: str
    entity: str
    path: str
    scope: str
    other: str
    others_path: str
    root: str = BOOKS


REFUSED = [
    Refused("unauthorized", "bill", "bills", "ZohoBooks.bills.READ", "invoice", "invoices"),
    Refused("not_associated", "invoice", "invoices", "ZohoBooks.invoices.READ", "bill", "bills"),
    Refused(
        "unauthorized", "product", "items", "ZohoInventory.items.READ", "customer", "contacts", root="/inventory/v1"
    ),
    Refused("not_associated", "customer", "contacts", "ZohoBooks.contacts.READ", "product", "items"),
    Refused("unauthorized", "sales_order", "salesorders", "ZohoBooks.salesorders.READ", "credit_note", "creditnotes"),
]
EACH = pytest.mark.parametrize("it", REFUSED, ids=lambda it: f"{it.kind}-{it.entity}")


def hint(entity: str, source_id: str) -> Any:
    """A webhook that says no more than which record it is about."""
    return delivery(entity, {ENTITIES[entity].stream.id_key: source_id}, complete=False)


def own(standin: StandIn, entity: str, path: str) -> str:
    """The id of a record of the entity."""
    kind = ENTITIES[entity].stream.kind
    records = standin.sandbox.world.collections[path].records
    return next(key for key, record in records.items() if not kind or record.state[kind[0]] == kind[1])


def missing(world: World) -> list[dict[str, Any]]:
    return world.rows(
        "select api, path, source_id, scope, refusal_count,"
        " round(extract(epoch from paused_until - clock_timestamp()))::int as left"
        " from tds_missing_permissions order by path, source_id"
    )


def over(world: World) -> None:
    """Let every pause be over."""
    world.execute("update tds_missing_permissions set paused_until = clock_timestamp()")
    world.execute("update tds_sync_queue set next_attempt_at = now() where lease_token is null")


@EACH
def test_a_module_without_permission_waits_without_attempts_and_nobody_else_does(
    synced: World, standin: StandIn, it: Refused
) -> None:
    standin.fail(it.kind, f"{it.root}/{it.path}", count=0)
    standin.fail(it.kind, f"{it.root}/itemdetails", count=0)
    mine, theirs = own(standin, it.entity, it.path), own(standin, it.other, it.others_path)
    synced.deliver(hint(it.entity, mine), hint(it.other, theirs))
    synced.drain(it.entity)
    began = time.monotonic()
    synced.drain(it.other)
    assert time.monotonic() - began < 2
    assert synced.row(it.other, theirs)["deleted_at"] is None
    if it.kind == "unauthorized" and it.path == "items":
        standin.sandbox.faults.clear()
        standin.fail(it.kind, f"{it.root}/items", count=0)
    assert [{**each, "left": 0} for each in missing(synced)] == [
        {
            "api": ENTITIES[it.entity].stream.api,
            "path": it.path,
            "source_id": "",
            "scope": it.scope,
            "refusal_count": 1,
            "left": 0,
        }
    ]
    assert 50 <= missing(synced)[0]["left"] <= 60
    waiting = synced.one(
        "select attempts, snoozes, next_attempt_at > now() + interval '50 s' as waits from tds_sync_queue"
        " where entity = :e",
        e=it.entity,
    )
    assert waiting == {"attempts": 0, "snoozes": 1, "waits": True}
    assert synced.value("select count(*) from tds_source_tokens where paused_until > now()") == 0
    assert synced.value("select count(*) from tds_dead_letter_queue") == 0


@EACH
def test_the_pause_doubles_up_to_an_hour_burns_no_tokens_and_ends_when_the_module_can_be_read(
    synced: World, standin: StandIn, it: Refused
) -> None:
    standin.fail(it.kind, f"{it.root}/{it.path}", count=0)
    synced.deliver(hint(it.entity, own(standin, it.entity, it.path)))
    lefts = []
    for _ in range(9):
        over(synced)
        synced.drain(it.entity)
        lefts.append(missing(synced)[0]["left"])
    assert lefts == pytest.approx([60, 120, 240, 480, 960, 1920, 3600, 3600, 3600], abs=2)
    assert standin.token_call_count <= 2
    calls = len(standin.calls)
    over(synced)
    synced.drain(it.entity)
    assert len(standin.calls) == calls + 1, "what is known is asked for once"
    [found] = synced.rows(
        "select severity, subject, detail, resolved_at from tds_findings where entity = :e", e=it.entity
    )
    assert (found["severity"], found["subject"], found["resolved_at"]) == ("error", it.scope, None)
    assert it.scope in found["detail"]["news"]
    standin.sandbox.faults.clear()
    over(synced)
    synced.drain(it.entity)
    assert missing(synced) == []
    assert synced.queue_depth(it.entity) == 0
    assert synced.value("select count(*) from tds_findings where resolved_at is null") == 0


@pytest.mark.parametrize("kind", ["unauthorized", "not_associated"])
@pytest.mark.parametrize(
    ("entity", "path"), [("invoice", "invoices"), ("bill", "bills"), ("sales_order", "salesorders")]
)
def test_one_record_that_may_not_be_read_keeps_no_other_record_of_its_module_waiting(
    synced: World, standin: StandIn, kind: str, entity: str, path: str
) -> None:
    refused, *others = standin.ids(path)[:4]
    standin.fail(kind, f"{BOOKS}/{path}/{refused}", count=0)
    synced.deliver(*(hint(entity, each) for each in (refused, *others)))
    synced.drain(entity)
    assert set(synced.mirror(entity, "source_id")) == set(others)
    assert [(each["source_id"], each["refusal_count"]) for each in missing(synced)] == [(refused, 1)]
    assert synced.one("select source_id, attempts from tds_sync_queue where entity = :e", e=entity) == {
        "source_id": refused,
        "attempts": 0,
    }
    assert synced.run(entity, "full")["state"] == "completed"
    tokens = standin.token_call_count
    for _ in range(3):
        synced.deliver(hint(entity, refused), window_seconds=0)  # a new word about it: not asked for before its time
        synced.drain(entity)
    assert missing(synced)[0]["refusal_count"] == 1
    over(synced)
    synced.drain(entity)
    assert missing(synced)[0]["refusal_count"] == 2
    assert standin.token_call_count == tokens
    standin.sandbox.faults.clear()
    over(synced)
    synced.drain(entity)
    assert (missing(synced), synced.queue_depth(entity)) == ([], 0)
    assert synced.row(entity, refused)["deleted_at"] is None


def test_bulk_reading_leaves_out_the_record_that_may_not_be_read(synced: World, standin: StandIn) -> None:
    refused = standin.ids("invoices")[3]
    standin.fail("unauthorized", f"{BOOKS}/invoices/{refused}", count=0)
    synced.run("invoice", "full")
    for _ in range(8):
        synced.drain("invoice")
    assert synced.rows("select source_id from tds_sync_queue") == [{"source_id": refused}]
    assert synced.value("select count(*) from erp.invoice where lines_confirmed_at is null") == 1


def test_a_module_of_which_lists_may_be_read_and_no_detail_is_found_out_within_a_few_calls(
    synced: World, standin: StandIn
) -> None:
    standin.fail("unauthorized", f"{BOOKS}/invoices/", count=0)
    synced.deliver(*(hint("invoice", each) for each in standin.ids("invoices")[:20]))
    synced.drain("invoice")
    assert sum(each["source_id"] == "" for each in missing(synced)) == 1
    assert len(standin.calls) < 30


def test_a_run_waits_at_its_page_and_goes_on_when_the_permission_is_there(synced: World, standin: StandIn) -> None:
    standin.fail("unauthorized", f"{BOOKS}/bills", count=0)
    run = synced.run("bill", "full")
    assert (run["state"], run["attempts"], "ZohoBooks.bills.READ" in run["end_reason"]) == ("running", 0, True)
    assert synced.run("customer", "full")["state"] == "completed"
    calls = len(standin.calls)
    synced.execute("update tds_sync_runs set next_attempt_at = now()")
    synced.advance(run["id"])
    assert len(standin.calls) == calls, "it is not asked for before its time"
    standin.sandbox.faults.clear()
    over(synced)
    synced.execute("update tds_sync_runs set next_attempt_at = now()")
    synced.advance(run["id"])
    assert (synced.run_row(run["id"])["state"], missing(synced)) == ("completed", [])


def test_several_modules_without_permission_cost_few_tokens(synced: World, standin: StandIn) -> None:
    refused = {
        "bill": "bills",
        "invoice": "invoices",
        "customer": "contacts",
        "credit_note": "creditnotes",
        "user": "users",
    }
    for path in (*refused.values(), "organizations"):  # who lacks the scope for settings cannot be told by that call
        standin.fail("unauthorized", f"{BOOKS}/{path}", count=0)
    for _ in range(6):
        for entity in refused:
            run_id = synced.request_run(entity, "full")
            synced.execute("update tds_sync_runs set next_attempt_at = now()")
            synced.advance(run_id)
        over(synced)
    assert standin.token_call_count <= 6
    assert [each["path"] for each in missing(synced)] == sorted(refused.values())
    assert synced.run("product", "full")["state"] == "completed"


def test_a_token_without_the_scope_is_not_renewed_for_it_at_all(synced: World, standin: StandIn) -> None:
    accounts = standin.sandbox.accounts
    accounts._grants[
        standin.sandbox.settings.refresh_token
    ].scope = "ZohoBooks.settings.READ,ZohoBooks.contacts.READ,ZohoInventory.fullaccess.all"
    states = {name: synced.run(name, "full")["state"] for name in ENTITIES}
    refused = ["bill", "credit_note", "customer_payment", "invoice", "sales_order"]
    assert sorted(name for name, state in states.items() if state != "completed") == refused
    assert standin.token_call_count == 1
    assert {each["scope"] for each in missing(synced)} == {
        f"ZohoBooks.{each}.READ" for each in ("bills", "creditnotes", "customerpayments", "invoices", "salesorders")
    }


def test_a_call_refused_once_is_made_again_and_nothing_waits(synced: World, standin: StandIn) -> None:
    for _ in range(4):
        standin.fail("unauthorized", f"{BOOKS}/bills")
        synced.deliver(hint("bill", own(standin, "bill", "bills")), window_seconds=0)
        synced.drain("bill")
        assert (missing(synced), synced.queue_depth("bill")) == ([], 0)
    assert standin.token_call_count == 2


def test_tokens_revoked_again_and_again_are_renewed_each_time(synced: World, standin: StandIn) -> None:
    for _ in range(MAX_RENEWALS):
        standin.sandbox.accounts.revoke_access_tokens()
        for entity, path in (("bill", "bills"), ("invoice", "invoices")):
            synced.deliver(hint(entity, own(standin, entity, path)), window_seconds=0)
            synced.drain(entity)
            assert (missing(synced), synced.queue_depth(entity)) == ([], 0)


def test_tokens_revoked_too_often_stop_the_source_until_more_may_be_asked_for_and_accuse_no_module(
    synced: World, standin: StandIn
) -> None:
    for n in range(MAX_RENEWALS + 2):
        if n:  # by then there is one
            standin.sandbox.accounts.revoke_access_tokens()
        synced.deliver(hint("bill", own(standin, "bill", "bills")), window_seconds=0)
        synced.drain("bill")
    assert missing(synced) == []
    assert standin.token_call_count == MAX_RENEWALS + 1
    waiting = synced.one("select attempts, snoozes, last_error from tds_sync_queue where entity = 'bill'")
    assert (waiting["attempts"], waiting["snoozes"]) == (0, 1)
    assert "tokens ended before their time" in waiting["last_error"]
    left = synced.value("select extract(epoch from paused_until - clock_timestamp()) from tds_source_tokens")
    assert 500 < left <= RENEWAL_WINDOW_SECONDS
    past = "clock_timestamp() - interval '11 minutes'"
    synced.execute(f"update tds_source_tokens set renewals_since = {past}, paused_until = {past}")
    over(synced)
    synced.drain("bill")
    assert (missing(synced), synced.queue_depth("bill")) == ([], 0)


def be_another_process() -> None:
    """Forget what this one has read, and its token."""
    context._source.cache_clear()


def test_a_token_that_another_process_renewed_is_taken_before_the_source_waits(synced: World, standin: StandIn) -> None:
    for n in range(MAX_RENEWALS + 1):
        if n:
            standin.sandbox.accounts.revoke_access_tokens()
        synced.deliver(hint("bill", own(standin, "bill", "bills")), window_seconds=0)
        synced.drain("bill")
        if n == MAX_RENEWALS - 1:
            late = context.source("zoho")  # knows the token before the last one
            be_another_process()
    tokens = standin.token_call_count
    assert tokens == MAX_RENEWALS + 1
    stream = ENTITIES["bill"].stream
    reading = late.read(stream, [own(standin, "bill", "bills")])
    assert (list(reading.failures), len(reading.records)) == ([], 1)
    assert standin.token_call_count == tokens


def test_a_process_that_has_read_nothing_yet_knows_a_dead_token_too(synced: World, standin: StandIn) -> None:
    for n in range(MAX_RENEWALS_IN_DOUBT + 3):
        if n:
            standin.sandbox.accounts.revoke_access_tokens()
        be_another_process()
        synced.deliver(hint("bill", own(standin, "bill", "bills")), window_seconds=0)
        synced.drain("bill")
        assert (missing(synced), synced.queue_depth("bill")) == ([], 0)


def test_an_organisation_that_refuses_everything_pauses_the_source_as_ever(synced: World, standin: StandIn) -> None:
    standin.fail("not_associated", BOOKS, count=0)
    synced.deliver(hint("bill", own(standin, "bill", "bills")))
    synced.drain("bill")
    assert missing(synced) == []
    assert "ZOHO_ORGANIZATION_ID" in synced.value(
        "select pause_reason from tds_source_tokens where paused_until > now()"
    )
    assert synced.value("select attempts from tds_sync_queue") == 0


def test_whole_bodies_are_applied_while_their_module_waits(synced: World, standin: StandIn) -> None:
    first, second = standin.ids("bills")[:2]
    standin.fail("unauthorized", f"{BOOKS}/bills", count=0)
    synced.deliver(hint("bill", first))
    synced.drain("bill")
    synced.know("bill", standin.detail("bills", second))
    synced.deliver(delivery("bill", standin.detail("bills", second)))
    synced.drain("bill")
    assert synced.row("bill", second)["deleted_at"] is None


@contextmanager
def workers(world: World, count: int = 2) -> Iterator[None]:
    """Somebody who does what is due, as a dispatcher and its workers would."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            for entity in ENTITIES:
                world.drain(entity)

    threads = [threading.Thread(target=work) for _ in range(count)]
    with capture_logs():
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


@pytest.mark.parametrize("trouble", ["missing scope", "one record refused", "unknown token answer"])
def test_all_else_keeps_its_latency(synced: World, standin: StandIn, trouble: str) -> None:
    """A webhook of every other module is applied within two seconds, beside work that may not be read."""
    ids = {
        entity: standin.ids(path) for entity, path in (("bill", "bills"), ("invoice", "invoices"), ("product", "items"))
    }
    refused = {"missing scope": set(ids["bill"]), "one record refused": {ids["invoice"][0]}}.get(trouble, set())
    if trouble == "missing scope":
        standin.fail("unauthorized", f"{BOOKS}/bills", count=0)
    elif trouble == "one record refused":
        standin.fail("not_associated", f"{BOOKS}/invoices/{ids['invoice'][0]}", count=0)
    with workers(synced, 1):
        for turn in range(8):
            if trouble == "unknown token answer" and turn == 2:
                standin.sandbox.accounts.revoke_access_tokens()
                standin.sandbox.accounts.appoint(TokenAnswer('{"error":"general_error"}'))
            synced.deliver(*(hint(entity, each[turn]) for entity, each in ids.items()), window_seconds=0)
            time.sleep(0.5)
        time.sleep(2)
    waited = synced.rows(
        "select source_id, extract(epoch from verdict_at - received_at)::float8 as seconds from tds_inbox_events"
    )
    others = sorted(each["seconds"] or 99.0 for each in waited if each["source_id"] not in refused)
    assert len(others) >= 16
    assert others[int(len(others) * 0.95)] < 2
    assert {each["seconds"] for each in waited if each["source_id"] in refused} <= {None}
    assert synced.value("select count(*) from tds_dead_letter_queue") == 0


@pytest.mark.parametrize(
    ("entity", "path"), [("invoice", "invoices"), ("bill", "bills"), ("sales_order", "salesorders")]
)
@pytest.mark.parametrize("kind", ["unauthorized", "not_associated"])
def test_what_only_a_webhook_named_and_zoho_does_not_show_does_not_live_here(
    synced: World, standin: StandIn, kind: str, entity: str, path: str
) -> None:
    ours, other = standin.ids(path)[:2]
    id_key, foreign = ENTITIES[entity].stream.id_key, "2999000000000001"
    synced.run(entity, "full")
    synced.deliver(delivery(entity, {**standin.detail(path, ours), id_key: foreign}))
    synced.drain(entity)
    assert synced.row(entity, foreign)["deleted_at"] is None
    for record_id in (foreign, ours):
        standin.fail(kind, f"{BOOKS}/{path}/{record_id}", count=0)
    synced.enqueue(entity, foreign, ours, other, must_read=True)
    synced.drain(entity)
    assert synced.row(entity, foreign)["deleted_at"] is not None
    assert synced.row(entity, ours)["deleted_at"] is None
    assert [each["source_id"] for each in missing(synced)] == [ours]
    assert synced.rows("select source_id from tds_sync_queue where entity = :e", e=entity) == [{"source_id": ours}]
    found = synced.one("select subject, detail ->> 'news' as news from tds_findings where kind = 'stranger'")
    assert (found["subject"], "does not show this record" in found["news"]) == (foreign, True)


def test_where_no_detail_may_be_read_a_full_pass_that_does_not_meet_it_tells_the_stranger(
    synced: World, standin: StandIn
) -> None:
    ours = standin.ids("invoices")[0]
    record = standin.detail("invoices", ours)
    synced.run("invoice", "full")
    synced.deliver(delivery("invoice", {**record, "invoice_id": "2999000000000001"}))
    synced.drain("invoice")
    standin.fail("unauthorized", f"{BOOKS}/invoices/", count=0)
    synced.enqueue("invoice", "2999000000000001", *standin.ids("invoices")[:4], must_read=True)
    synced.drain("invoice")
    synced.execute("update erp.invoice set version = 2 where source_id = '2999000000000001'")
    synced.run("invoice", "full")
    over(synced)
    synced.drain("invoice")
    living = set(synced.mirror("invoice", "source_id"))
    assert living == set(standin.ids("invoices"))
