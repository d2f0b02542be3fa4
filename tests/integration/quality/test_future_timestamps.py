"""A time that is yet to come is no evidence: by no door does it keep real changes out, or move a cursor beyond now."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tds_core.invariants import verify
from tds_core.sync import cursors
from tds_models.db import session_scope
from tests.support.command_line import CommandLine
from tests.support.standin import StandIn, before_page
from tests.support.world import ScriptedSource, World, delivery, invoice, product

FUTURE = "2081-01-01T00:00:00+0300"
SOON = timedelta(seconds=5)


def tell_by(door: str, synced: World, standin: StandIn, record_id: str, *, entity: str, module: str, mode: str) -> None:
    """Let TDS hear of a record as it stands: by a webhook, by a pass of this mode, or by a reading of its own."""
    if door == "webhook":
        synced.deliver(delivery(entity, standin.detail(module, record_id)))
    elif door == "list":
        synced.run(entity, mode)
    else:
        synced.enqueue(entity, record_id)
    synced.drain(entity)


def now() -> datetime:
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat()


def found(world: World) -> list[tuple[str, str]]:
    rows = world.rows("select entity, subject from tds_findings where kind = 'future_time' order by 1, 2")
    return [(row["entity"], row["subject"]) for row in rows]


def open_findings(world: World, kind: str = "future_time") -> list[tuple[str, str]]:
    rows = world.rows("select entity, subject from tds_findings where kind = :kind and resolved_at is null", kind=kind)
    return [(row["entity"], row["subject"]) for row in rows]


def broken_promises(world: World) -> list[str]:
    with session_scope(world.engine) as session:
        return [f"{each.name}: {each.examples}" for each in verify.verify(session) if each.violation_count]


def poison(world: World, entity: str, record_id: str) -> None:
    """Let the row be of 2099, as versions before this one left it."""
    world.execute(f"update erp.{entity} set source_modified_at = '2099-01-01' where source_id = :id", id=record_id)


@pytest.mark.parametrize("record", [product(), invoice()], ids=["product", "invoice"])
def test_a_body_of_a_time_to_come_is_looked_up(world: World, source: ScriptedSource, record: dict[str, Any]) -> None:
    entity = "product" if "item_id" in record else "invoice"
    source_id = record["item_id" if entity == "product" else "invoice_id"]
    world.know(entity, record)
    changed = {"rate": 12.5} if entity == "product" else {"reference_number": "R-2"}
    real = {**record, **changed, "last_modified_time": stamp(now() - timedelta(hours=1))}
    source.records[source_id] = real
    world.deliver(delivery(entity, {**record, "status": "void", "last_modified_time": FUTURE}))
    world.drain(entity)
    row = world.row(entity, source_id)
    assert source.asked == [[source_id]]
    assert (row["status"], row["source_modified_at"]) == (
        record["status"], datetime.fromisoformat(real["last_modified_time"])
    )  # fmt: skip
    assert (found(world), world.verdicts()) == ([], ["applied"])
    assert broken_promises(world) == []


@pytest.mark.parametrize("record", [product(), invoice()], ids=["product", "invoice"])
def test_what_the_source_itself_dates_ahead_is_taken_as_of_its_reading_and_later_changes_win(
    world: World, source: ScriptedSource, record: dict[str, Any]
) -> None:
    entity = "product" if "item_id" in record else "invoice"
    source_id = record["item_id" if entity == "product" else "invoice_id"]
    world.know(entity, record)
    source.records[source_id] = {**record, "status": "ahead", "last_modified_time": FUTURE}
    world.deliver(delivery(entity, {**record, "last_modified_time": FUTURE}))
    world.drain(entity)
    row = world.row(entity, source_id)
    assert (row["status"], abs(row["source_modified_at"] - now()) < timedelta(minutes=1)) == ("ahead", True)
    assert found(world) == open_findings(world) == [(entity, source_id)]
    asked = len(source.asked)
    world.deliver(delivery(entity, {**record, "status": "real", "last_modified_time": stamp(now() + SOON)}))
    world.drain(entity)
    assert (world.row(entity, source_id)["status"], len(source.asked)) == ("real", asked)
    assert open_findings(world) == []
    assert broken_promises(world) == []


@pytest.mark.parametrize("door", ["webhook", "list", "targeted"])
@pytest.mark.parametrize(("entity", "module"), [
    ("product", "items"), ("customer", "contacts"), ("sales_order", "salesorders"),
])  # fmt: skip
def test_a_change_dated_before_the_reading_of_a_time_ahead_goes_in(
    synced: World, standin: StandIn, entity: str, module: str, door: str
) -> None:
    ids = standin.ids(module)
    if entity == "customer":
        records = standin.sandbox.world.collections[module].records
        ids = [each for each in ids if records[each].state["contact_type"] == "customer"]
    ahead = ids[3]
    standin.sandbox.clock.source = time.time
    standin.sandbox.world.make_odd(module, ahead, modified_at=FUTURE)
    synced.run(entity, "full")
    synced.enqueue(entity, ahead)
    synced.drain(entity)
    assert abs(synced.row(entity, ahead)["source_modified_at"] - now()) < timedelta(minutes=1)
    key = {"product": "description", "customer": "company_name"}.get(entity, "reference_number")
    standin.edit(module, ahead, **{key: "put right"})
    changed = (now() - timedelta(hours=4)).replace(microsecond=0)
    standin.sandbox.world.make_odd(module, ahead, modified_at=changed.isoformat())
    tell_by(door, synced, standin, ahead, entity=entity, module=module, mode="full")
    row = synced.row(entity, ahead)
    assert (row[key], row["source_modified_at"]) == ("put right", changed)
    synced.run(entity, "full")
    synced.drain(entity)
    assert synced.row(entity, ahead)["version"] == row["version"]
    assert open_findings(synced) == []
    assert broken_promises(synced) == []


@pytest.mark.parametrize(("entity", "module"), [
    ("product", "items"), ("customer", "contacts"), ("invoice", "invoices"), ("customer_payment", "customerpayments"),
])  # fmt: skip
def test_a_row_dated_ahead_leaves_the_cursor_behind_the_clock_and_hides_nothing(
    synced: World, standin: StandIn, entity: str, module: str
) -> None:
    ids = standin.ids(module)
    if entity == "customer":
        records = standin.sandbox.world.collections[module].records
        ids = [each for each in ids if records[each].state["contact_type"] == "customer"]
    ahead = ids[3]
    standin.sandbox.world.make_odd(module, ahead, modified_at=FUTURE)
    for mode in ("full", "incremental"):
        assert synced.run(entity, mode)["state"] == "completed"
        assert synced.value("select modified_at <= now() from tds_sync_cursors") is True
    assert synced.row(entity, ahead)["source_modified_at"] <= now() + SOON
    assert found(synced) == [(entity, ahead)]
    key = {"product": "description", "customer": "notes"}.get(entity, "reference_number")
    standin.edit(module, ids[5], **{key: "real"})
    changed = standin.sandbox.world.collections[module].records[ids[5]].modified
    synced.run(entity, "incremental")
    assert synced.row(entity, ids[5])["source_modified_at"].timestamp() == changed
    # Put right at the source, with a change.
    standin.sandbox.world.make_odd(module, ahead, modified_at=stamp(now() - SOON).replace("+00:00", "Z"))
    standin.sandbox.clock.source = lambda: datetime.now(UTC).timestamp() + 30
    standin.edit(module, ahead, **{key: "put right"})
    synced.run(entity, "incremental")
    changed = standin.sandbox.world.collections[module].records[ahead].modified
    assert synced.row(entity, ahead)["source_modified_at"].timestamp() == changed
    assert broken_promises(synced) == []
    assert open_findings(synced) == []


@pytest.mark.parametrize(("entity", "module"), [("product", "items"), ("sales_order", "salesorders")])
@pytest.mark.parametrize("end", ["the time is mended", "the time has come"])
def test_a_time_ahead_is_reported_until_it_is_over(
    synced: World, standin: StandIn, entity: str, module: str, end: str
) -> None:
    ahead = standin.ids(module)[3]
    standin.sandbox.world.make_odd(module, ahead, modified_at=FUTURE)
    synced.run(entity, "full")
    synced.run(entity, "full")
    assert open_findings(synced) == [(entity, ahead)]
    if end == "the time is mended":
        standin.sandbox.world.make_odd(module, ahead, modified_at="2026-01-03T00:00:00Z")
    else:
        synced.execute('update tds_findings set detail = detail || \'{"says": "2026-01-03T00:00:00+00:00"}\'')
    synced.run(entity, "full")
    assert open_findings(synced) == []


@pytest.mark.parametrize("door", ["webhook", "list", "targeted"])
@pytest.mark.parametrize(("entity", "module"), [("product", "items"), ("sales_order", "salesorders")])
def test_a_row_that_was_poisoned_mends_at_its_next_reading(
    synced: World, standin: StandIn, entity: str, module: str, door: str
) -> None:
    synced.run(entity, "full")
    record_id = standin.ids(module)[4]
    poison(synced, entity, record_id)
    key = "description" if entity == "product" else "reference_number"
    standin.edit(module, record_id, **{key: "real"})
    tell_by(door, synced, standin, record_id, entity=entity, module=module, mode="incremental")
    row = synced.row(entity, record_id)
    changed = standin.sandbox.world.collections[module].records[record_id].modified
    assert (row[key], row["source_modified_at"].timestamp()) == ("real", changed)


def test_a_cursor_that_lies_in_the_future_says_nothing(synced: World, standin: StandIn) -> None:
    synced.run("product", "full")
    synced.execute("update tds_sync_cursors set modified_at = '2081-01-01'")
    standin.edit("items", standin.ids("items")[0], description="unseen")
    assert synced.run("product", "incremental")["outcomes"]["updated"] == 1
    assert synced.value("select modified_at <= now() from tds_sync_cursors") is True


@pytest.fixture
def tds(synced: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_a_person_has_a_record_read_whatever_its_time_says(synced: World, standin: StandIn, tds: CommandLine) -> None:
    synced.run("product", "full")
    record_id = standin.ids("items")[4]
    synced.execute("update erp.product set source_modified_at = now() - interval '1 second', name = 'wrong',"
                   " list_hash = null where source_id = :id", id=record_id)  # fmt: skip
    synced.enqueue("product", record_id)
    synced.drain("product")
    assert synced.row("product", record_id)["name"] == "wrong", "it is older than what stands here"
    tds("sync", "product", "--mode", "targeted", "--id", record_id, "--force")
    synced.drain("product")
    row = synced.row("product", record_id)
    record = standin.sandbox.world.collections["items"].records[record_id]
    assert (row["name"], row["source_modified_at"].timestamp()) == (record.state["name"], record.modified)
    assert synced.audit("product", record_id)[-1]["origin"] == "forced"
    action = synced.one("select operation, entity, source_ids, detail from tds_operator_actions")
    assert (action["operation"], action["source_ids"], action["detail"]["force"]) == ("cli.sync", [record_id], True)
    assert broken_promises(synced) == []


def test_force_belongs_to_given_records(tds: CommandLine) -> None:
    said = tds("sync", "product", "--mode", "full", "--force")
    assert (said.exit_code, "--mode targeted --id" in said.errors) == (2, True)


def test_a_person_sets_a_cursor_back(synced: World, standin: StandIn, tds: CommandLine) -> None:
    synced.run("product", "full")
    tds("cursors", "set", "product", "2026-01-02")
    rows = {row["entity"]: row for row in json.loads(tds("cursors", "--json").out)}
    assert rows["product"]["modified_at"].startswith("2026-01-02T00:00:00")
    assert rows["invoice"]["modified_at"] is None
    assert "price_list" not in rows
    assert synced.value("select operation from tds_operator_actions") == "cli.cursors.set"
    seen = {record.id for record in standin.sandbox.world.collections["items"].records.values()
            if record.modified >= datetime(2026, 1, 2, tzinfo=UTC).timestamp()}  # fmt: skip
    assert synced.run("product", "incremental")["fetched_count"] >= len(seen) > 20


@pytest.mark.parametrize(("entity", "moment"), [("product", "2081-01-01"), ("price_list", "2026-01-01")])
def test_a_cursor_is_not_set_where_it_would_hide_something(
    synced: World, tds: CommandLine, entity: str, moment: str
) -> None:
    said = tds("cursors", "set", entity, moment)
    assert (said.exit_code, "yet to come" in said.errors or "reads all of it" in said.errors) == (1, True)
    with session_scope(synced.engine) as session:
        assert {row["modified_at"] for row in cursors.cursors(session)} == {None}


@pytest.mark.parametrize("entity", ["product", "invoice"])
def test_a_clock_set_back_has_a_record_read_seldom_and_is_reported(
    world: World, source: ScriptedSource, entity: str
) -> None:
    record = product() if entity == "product" else invoice()
    source_id = record["item_id" if entity == "product" else "invoice_id"]
    world.know(entity, record)
    world.deliver(delivery(entity, record))
    world.drain(entity)
    world.execute(f"update erp.{entity} set changed_at = now() + interval '10 minutes'")
    source.asked.clear()
    world.enqueue(entity, source_id)
    waits = []
    for _ in range(8):
        world.drain(entity, make_due=True)
        waits.append(world.value("select extract(epoch from next_attempt_at - now())::float8 from tds_sync_queue"
                                 " where entity = :entity", entity=entity))  # fmt: skip
    assert waits == sorted(waits)
    assert (60 < waits[-1] <= 120, sum(waits) > 180) == (True, True)
    found = world.one("select entity, severity, subject from tds_findings where kind = 'clock_set_back'")
    assert found == {"entity": entity, "severity": "error", "subject": "the database's clock"}
    assert world.value("select count(*) from tds_dead_letter_queue") == 0
    world.execute(f"update erp.{entity} set changed_at = now() - interval '1 second'")
    world.drain(entity, make_due=True)
    assert world.queue_depth(entity) == 0
    assert world.row(entity, source_id)["deleted_at"] is not None
    assert open_findings(world, "clock_set_back") == []


def test_a_cursor_set_back_while_a_pass_is_under_way_stays_until_the_next_begins_there(
    synced: World, standin: StandIn
) -> None:
    synced.run("product", "full")
    for source_id in standin.ids("items")[:25]:
        standin.edit("items", source_id, rate=77.5)
    wanted = datetime(2026, 1, 2, tzinfo=UTC)

    def set_back() -> None:
        with session_scope(synced.engine) as session:
            cursors.put(session, "product", wanted)

    before_page(standin, 2, set_back)
    synced.run("product", "incremental")
    stands = "select modified_at from tds_sync_cursors where entity = 'product'"
    assert synced.value(stands) == wanted
    synced.run("product", "incremental")
    assert synced.value(stands) > wanted
