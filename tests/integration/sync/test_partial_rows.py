"""Documents come by their headers first: useful at once, honest about what is missing, whole in the best order."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.standin import StandIn
from tests.support.world import World, delivery, product

WAITING = (
    "select source_id, priority, generation, must_read from tds_sync_queue where entity = :entity order by priority"
)


@pytest.mark.parametrize("entity", ["sales_order", "invoice", "bill", "credit_note", "customer_payment"])
def test_a_pass_brings_every_header_before_any_detail_is_read(synced: World, standin: StandIn, entity: str) -> None:
    run = synced.run(entity, "full", drains=False)
    rows = synced.rows(f"select * from erp.{entity}")
    assert len(rows) == run["outcomes"]["to_read"] == run["outcomes"]["created"] > 0
    assert not [path for path in standin.calls if path.count("/") > 3]  # lists only
    for row in rows:
        assert row["lines_confirmed_at"] is None
        assert row["source_modified_at"] is not None
    assert synced.queue_depth() == len(rows)


def test_details_complete_the_header_and_say_so(synced: World, standin: StandIn) -> None:
    synced.run("invoice", "full")
    rows = synced.rows("select source_id, lines_confirmed_at, sub_total from erp.invoice")
    assert all(row["lines_confirmed_at"] and row["sub_total"] is not None for row in rows)
    lines = dict(synced.mirror("invoice", "(select count(*) from erp.invoice_line l where l.parent_id = source_id)"))
    sent = {key: (len(standin.detail("invoices", key)["line_items"]),) for key in standin.ids("invoices")}
    assert lines == sent


def test_open_and_new_records_are_read_before_closed_and_old_ones(synced: World, standin: StandIn) -> None:
    synced.run("invoice", "full", drains=False)
    waiting = synced.rows(WAITING, entity="invoice")
    place = {row["source_id"]: at for at, row in enumerate(waiting)}
    rows = synced.rows("select source_id, status, source_modified_at from erp.invoice")
    is_open = {row["source_id"]: row["status"] not in ("paid", "void") for row in rows}
    assert {True, False} == set(is_open.values())
    assert max(place[key] for key in place if is_open[key]) < min(place[key] for key in place if not is_open[key])
    order = sorted((row for row in rows if is_open[row["source_id"]]), key=lambda row: place[row["source_id"]])
    assert order[0]["source_modified_at"] > order[-1]["source_modified_at"]


def test_a_second_pass_adds_nothing_to_what_waits_already(synced: World, standin: StandIn) -> None:
    synced.run("sales_order", "full", drains=False)
    before = synced.rows(WAITING, entity="sales_order")
    run = synced.run("sales_order", "full", drains=False)
    assert synced.rows(WAITING, entity="sales_order") == before
    assert set(run["outcomes"]) <= {"to_read", "unchanged", "absent"}
    assert synced.value("select count(*) from tds_audit_trail") == len(before)


#: Where each row stands and which transactions wrote or locked it last.
PLACES = "select ctid::text as place, xmin::text as by, xmax::text as locked_by, source_id from {} order by source_id"


@pytest.mark.parametrize("mode", ["full", "incremental"])
@pytest.mark.parametrize("entity", ["product", "sales_order", "invoice", "bill", "customer_payment"])
def test_what_waits_to_be_read_is_not_even_locked_by_another_pass(synced: World, entity: str, mode: str) -> None:
    first = synced.run(entity, "full", drains=False)
    standing = [synced.rows(PLACES.format(table)) for table in ("tds_sync_queue", f"erp.{entity}")]
    run = synced.run(entity, mode, drains=False)
    assert [synced.rows(PLACES.format(table)) for table in ("tds_sync_queue", f"erp.{entity}")] == standing
    assert run["skipped_count"] == run["outcomes"]["to_read"] == run["outcomes"]["unchanged"] > 0
    assert mode == "incremental" or run["skipped_count"] == first["outcomes"]["created"]


@pytest.mark.parametrize("entity", ["product", "invoice"])
def test_a_pass_owes_again_what_waits_for_no_reading_any_more_or_is_in_somebody_s_hands(
    synced: World, entity: str
) -> None:
    synced.run(entity, "full", drains=False)
    waiting = synced.rows("select source_id, generation, priority from tds_sync_queue order by source_id")
    gone, held, told = waiting[:3]
    synced.execute("delete from tds_sync_queue where source_id = :id", id=gone["source_id"])
    synced.execute(
        "update tds_sync_queue set lease_token = gen_random_uuid(), leased_until = now() + interval '1 hour'"
        " where source_id = :id",
        id=held["source_id"],
    )
    synced.execute("update tds_sync_queue set must_read = false where source_id = :id", id=told["source_id"])
    run = synced.run(entity, "full", drains=False)
    after = synced.rows("select source_id, generation, priority, must_read from tds_sync_queue order by source_id")
    assert [(each["source_id"], each["priority"]) for each in after] == [
        (each["source_id"], each["priority"]) for each in waiting
    ]
    assert all(each["must_read"] for each in after)
    raised = {
        new["source_id"] for new, old in zip(after, waiting, strict=True) if new["generation"] > old["generation"]
    }
    assert raised == {gone["source_id"], held["source_id"], told["source_id"]}
    assert run["outcomes"]["to_read"] == len(waiting) == run["skipped_count"] + 3


def test_a_second_pass_over_whole_documents_reads_no_detail_and_writes_nothing(synced: World, standin: StandIn) -> None:
    synced.run("invoice", "full")
    versions = synced.mirror("invoice", "version, changed_at, xmin::text")
    standin.calls.clear()
    run = synced.run("invoice", "full")
    assert [path for path in standin.calls if path.count("/") > 3] == []
    assert run["outcomes"]["unchanged"] >= len(versions)
    assert synced.mirror("invoice", "version, changed_at, xmin::text") == versions


def test_a_changed_document_says_that_its_lines_are_old_until_they_are_read(synced: World, standin: StandIn) -> None:
    synced.run("invoice", "full")
    changed = standin.ids("invoices")[0]
    standin.edit("invoices", changed, reference_number="NEW-1")
    synced.run("invoice", "incremental", drains=False)
    row = synced.row("invoice", changed)
    assert (row["reference_number"], row["lines_confirmed_at"]) == ("NEW-1", None)
    others = synced.rows("select lines_confirmed_at from erp.invoice where source_id <> :id", id=changed)
    assert all(row["lines_confirmed_at"] for row in others)
    synced.drain("invoice")
    assert synced.row("invoice", changed)["lines_confirmed_at"] is not None


def test_what_changed_is_read_before_what_never_was(synced: World, standin: StandIn) -> None:
    synced.run("invoice", "full")
    changed, forgotten = standin.ids("invoices")[:2]
    synced.execute(
        "update erp.invoice set lines_confirmed_at = null, list_hash = null where source_id = :id", id=forgotten
    )
    standin.edit("invoices", changed, reference_number="NEW-2")
    synced.run("invoice", "full", drains=False)
    assert [row["source_id"] for row in synced.rows(WAITING, entity="invoice")] == [changed, forgotten]


def test_price_lists_are_read_on_every_pass_because_their_list_shows_no_price(synced: World, standin: StandIn) -> None:
    for _ in range(3):  # also when nothing changed for a while
        synced.run("price_list", "full")
    collection = standin.sandbox.world.collections["pricebooks"]
    price_list = next(key for key in collection.records if standin.detail("pricebooks", key)["pricebook_items"])
    entry = standin.detail("pricebooks", price_list)["pricebook_items"][0]
    standin.edit("pricebooks", price_list, prices={entry["item_id"]: 777.25})
    synced.run("price_list", "incremental")
    prices = synced.rows("select price::float8 as price from erp.price_list_price where parent_id = :id", id=price_list)
    assert 777.25 in [row["price"] for row in prices]


def test_a_full_pass_sees_stock_that_only_changed_its_place(synced: World, standin: StandIn) -> None:
    synced.run("stock_level", "full")
    places = "select location_id, stock_on_hand::float8 as held from erp.stock_level_location where parent_id = :id"
    product, held = next(
        (row["source_id"], {each["location_id"]: each["held"] for each in synced.rows(places, id=row["source_id"])})
        for row in synced.rows("select source_id from erp.stock_level where stock_on_hand > 0")
    )
    source = max(held, key=lambda key: held[key])
    target = next(key for key in held if key != source)
    standin.edit("items", product, transfer={"from": source, "to": target, "quantity": 1})
    synced.run("stock_level", "incremental")
    synced.run("stock_level", "full")
    moved = {row["location_id"]: row["held"] for row in synced.rows(places, id=product)}
    assert moved == {**held, source: held[source] - 1, target: held[target] + 1}


def test_a_webhook_s_whole_body_leaves_nothing_to_read(synced: World, standin: StandIn) -> None:
    known, source_id = standin.ids("invoices")[:2]
    synced.enqueue("invoice", known)
    synced.drain("invoice")  # now it is known what records look like
    synced.deliver(delivery("invoice", standin.detail("invoices", source_id)))
    synced.drain("invoice")
    row = synced.row("invoice", source_id)
    assert row["lines_confirmed_at"] is not None and row["confirmed_at"] is None
    assert (row["source_record_seen"], synced.queue_depth("invoice")) == ("body", 0)


def test_custom_fields_are_the_same_from_list_and_detail(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    listed = synced.mirror("product", "custom_fields")
    assert any(fields for (fields,) in listed.values())
    for key in listed:
        synced.enqueue("product", key)
    synced.drain("product")
    assert synced.mirror("product", "custom_fields") == listed
    assert synced.value("select count(*) from tds_audit_trail where version > 1 and changes ? 'custom_fields'") == 0


def changed(standin: StandIn, plural: str, source_id: str, **changes: Any) -> dict[str, Any]:
    """A record after a change, whole."""
    standin.edit(plural, source_id, **changes)
    return standin.detail(plural, source_id)


def test_what_a_body_cut_short_does_not_mention_is_read_at_leisure(synced: World, standin: StandIn) -> None:
    synced.run("customer_payment", "full")
    source_id = standin.ids("customerpayments")[0]
    payment = changed(standin, "customerpayments", source_id, reference_number="R-7", description="in part")
    body = {key: value for key, value in payment.items() if key != "description"}
    synced.deliver(delivery("customer_payment", body))
    standin.calls.clear()
    synced.drain("customer_payment")
    synced.drain("customer_payment")
    row = synced.row("customer_payment", source_id)
    assert (row["reference_number"], row["description"]) == ("R-7", "in part")
    assert synced.verdicts() == ["applied"]
    assert [path for path in standin.calls if source_id in path] == [f"/books/v3/customerpayments/{source_id}"]
    assert [each["origin"] for each in synced.audit("customer_payment", source_id)][-2:] == ["webhook", "webhook"]


def test_the_body_is_applied_before_the_rest_is_read(synced: World, standin: StandIn) -> None:
    synced.run("customer_payment", "full")
    source_id = standin.ids("customerpayments")[0]
    payment = changed(standin, "customerpayments", source_id, reference_number="R-7", description="in part")
    lines = [{key: value for key, value in line.items() if key != "amount_applied"} for line in payment["invoices"]]
    assert lines
    synced.deliver(delivery("customer_payment", {**payment, "invoices": lines}))
    synced.drain("customer_payment")
    assert synced.row("customer_payment", source_id)["description"] == "in part"
    [owed] = synced.rows(WAITING, entity="customer_payment")
    assert owed["must_read"]
    synced.drain("customer_payment")
    applied = synced.rows("select * from erp.customer_payment_application where parent_id = :id", id=source_id)
    assert [float(each["amount"]) for each in applied] == [line["amount_applied"] for line in payment["invoices"]]


def test_a_key_no_record_was_ever_read_with_is_not_missed(synced: World, standin: StandIn) -> None:
    synced.run("customer_payment", "full")
    synced.execute("delete from tds_known_keys where key = 'bank_charges'")
    payment = changed(standin, "customerpayments", standin.ids("customerpayments")[0], description="again")
    synced.deliver(delivery("customer_payment", {k: v for k, v in payment.items() if k != "bank_charges"}))
    standin.calls.clear()
    synced.drain("customer_payment")
    assert (standin.calls, synced.queue_depth()) == ([], 0)


def test_before_anything_was_read_a_body_cut_short_is_no_whole_document(synced: World, standin: StandIn) -> None:
    source_id = standin.ids("invoices")[0]
    document = standin.detail("invoices", source_id)
    synced.deliver(delivery("invoice", {key: value for key, value in document.items() if key != "balance"}))
    synced.drain("invoice")
    synced.drain("invoice")
    assert float(synced.row("invoice", source_id)["balance"]) == document["balance"]


def test_each_record_is_read_at_leisure_under_its_own_correlation_id(synced: World, standin: StandIn) -> None:
    synced.run("customer_payment", "full")
    told = {}
    for source_id in standin.ids("customerpayments")[:3]:
        payment = changed(standin, "customerpayments", source_id, description="cut short", reference_number="R-8")
        body = {key: value for key, value in payment.items() if key != "description"}
        told[source_id] = f"thread-{source_id}"
        synced.deliver(replace(delivery("customer_payment", body), correlation_id=told[source_id]))
    synced.drain("customer_payment")
    synced.drain("customer_payment")
    for source_id, thread in told.items():
        last = synced.audit("customer_payment", source_id)[-2:]
        assert [each["correlation_id"] for each in last] == [thread, thread]


def test_what_a_person_wrote_stands_though_it_is_not_everything(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    source_id = standin.ids("items")[0]
    synced.enqueue("product", source_id, must_read=True)
    synced.drain("product")  # now it is known which keys records are read with
    synced.deliver(delivery("product", product(source_id, second=86_400 * 365, rate=4), event="edited"))
    synced.drain("product")
    synced.drain("product")
    assert synced.row("product", source_id)["price"] == 4
    assert synced.queue_depth("product") == 0


def test_a_run_behind_one_that_fails_keeps_no_details_waiting(synced: World) -> None:
    synced.request_run("vendor", "incremental")
    synced.execute("update tds_sync_runs set state = 'running', started_at = now() where state = 'queued'")
    synced.request_run("vendor", "full")
    synced.enqueue("invoice", "1", bulk=True)
    assert synced.claim("invoice") is None
    synced.execute("update tds_sync_runs set next_attempt_at = now() + interval '5 minutes' where state = 'running'")
    assert synced.claim("invoice") is not None
