"""The audit trail promises: every change with before and after, without gaps, and nobody can edit it."""

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from tests.support.database_role import REFUSED_CHANGE
from tests.support.world import ScriptedSource, World, at, delivery, invoice, product

ID = "460000000000001"
INVOICE = "460000000900001"


def tell(world: World, entity: str, record: dict[str, Any]) -> None:
    world.deliver(delivery(entity, record))
    world.drain(entity)


def test_a_creation_keeps_what_the_record_said(world: World, source: ScriptedSource) -> None:
    tell(world, "product", product(description=""))
    [entry] = world.audit("product", ID)
    assert (entry["version"], entry["operation"], entry["origin"]) == (1, "created", "webhook")
    assert entry["changes"]["price"] == [None, "10.5"]
    assert not {"description", "brand"} & entry["changes"].keys(), "an empty text says as little as an absent one"
    assert entry["source_modified_at"] == at(0)


def test_a_change_keeps_before_and_after_of_what_changed_and_nothing_else(world: World, source: ScriptedSource) -> None:
    tell(world, "product", product(rate="10.50"))
    tell(world, "product", product(second=5, rate="10.5", name="New name"))
    tell(world, "product", product(second=9, rate=None, name="New name"))
    assert [entry["changes"] for entry in world.audit("product", ID)[1:]] == [
        {"name": [f"Item {ID}", "New name"]},
        {"price": ["10.5", None]},
    ]


def test_lines_are_kept_whole_before_and_after(world: World, source: ScriptedSource) -> None:
    world.know("invoice", invoice())
    tell(world, "invoice", invoice())
    changed = invoice(second=5)
    changed["line_items"][1]["quantity"] = 3
    tell(world, "invoice", changed)
    [before, after] = world.audit("invoice", INVOICE)[1]["changes"]["lines"]
    assert [line["quantity"] for line in before] == ["1", "2"]
    assert [line["quantity"] for line in after] == ["1", "3"]
    kept = world.rows("select quantity from erp.invoice_line order by position")
    assert [row["quantity"] for row in kept] == [1, 3]


def test_what_changed_nothing_leaves_no_entry(world: World, source: ScriptedSource) -> None:
    for second in (0, 5, 9):
        tell(world, "product", product(second=second))
    assert len(world.audit("product", ID)) == 1
    row = world.row("product", ID)
    assert (row["version"], row["source_modified_at"]) == (1, at(9))


def test_versions_have_no_gaps_and_match_the_row(world: World, source: ScriptedSource) -> None:
    for second in range(6):
        tell(world, "product", product(second=second, rate=second))
    world.deliver(delivery("product", product(second=9), event="deleted"))
    world.drain("product")
    source.records[ID] = product(second=11, rate=1)
    world.enqueue("product", ID)
    world.drain("product")
    trail = world.audit("product", ID)
    assert [entry["version"] for entry in trail] == list(range(1, 9))
    assert [entry["operation"] for entry in trail[-2:]] == ["deleted", "restored"]
    assert world.row("product", ID)["version"] == 8


def test_the_trail_leads_to_the_event_and_through_the_logs(world: World, source: ScriptedSource) -> None:
    [receipt] = world.deliver(delivery("product", product()))
    world.drain("product")
    [entry] = world.audit("product", ID)
    assert (entry["origin_id"], entry["correlation_id"]) == (receipt.event_id, "corr-1")


def test_text_that_looks_like_anything_else_is_kept_as_it_is(world: World, source: ScriptedSource) -> None:
    odd = "tab\tnew\nline\r back\\slash \\N \\. quote\" 'single' $1 %s {x} 🙂 \u200f عربي"
    for number in range(30):
        world.deliver(delivery("product", product(str(number), name=f"{odd}{number}", sku="\\N", description="\\.")))
    world.drain("product")
    for number in range(30):
        row = world.row("product", str(number))
        assert (row["name"], row["sku"], row["description"]) == (f"{odd}{number}", "\\N", "\\.")
        assert row["source_record"]["name"] == f"{odd}{number}"
        assert world.audit("product", str(number))[0]["changes"]["name"] == [None, f"{odd}{number}"]


@pytest.mark.parametrize(
    "statement",
    [
        "update tds_audit_trail set changes = '{}'",
        "update tds_audit_trail set recorded_at = now() where false or id > 0",
        "delete from tds_audit_trail",
        "truncate tds_audit_trail",
        "truncate tds_audit_trail, tds_sync_logs cascade",
    ],
)
def test_the_database_refuses_to_edit_history(world: World, source: ScriptedSource, statement: str) -> None:
    tell(world, "product", product())
    with pytest.raises(DBAPIError, match=REFUSED_CHANGE):
        world.execute(statement)
    assert len(world.audit("product", ID)) == 1


def test_one_version_cannot_be_recorded_twice(world: World, source: ScriptedSource) -> None:
    tell(world, "product", product())
    copied = "source, entity, source_id, version, operation, changes, origin, correlation_id"
    with pytest.raises(DBAPIError, match="uq_tds_audit_trail_version"):
        world.execute(f"insert into tds_audit_trail ({copied}) select {copied} from tds_audit_trail")
