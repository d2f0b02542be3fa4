"""What only a webhook told of is doubted until Zoho's API has shown it, and an id Zoho does not have leaves no row."""

import msgspec
import pytest

from tds_core.records.transform import looks_rounded
from tds_core.sources.base import ListedRow, ListPage
from tds_core.sync import unconfirmed_records
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.world import ScriptedSource, World, at, delivery, invoice, product, script

ROUNDED, WHOLE = "1783541000000012300", "1783541000000012345"


@pytest.fixture
def source(world: World, monkeypatch: pytest.MonkeyPatch) -> ScriptedSource:
    return script(monkeypatch, ScriptedSource())


def owe(world: World) -> int:
    with session_scope(world.engine) as session:
        return unconfirmed_records.enqueue_unconfirmed(session, after_seconds=0)


def count(world: World, entity: str = "product") -> int:
    return world.value(f"select count(*) from erp.{entity}")


def said(world: World) -> list[tuple[str | None, str | None]]:
    rows = world.rows("select verdict, verdict_reason from tds_inbox_events order by id")
    return [(row["verdict"], row["verdict_reason"]) for row in rows]


@pytest.mark.parametrize(("entity", "record"), [("product", product), ("invoice", invoice)])
@pytest.mark.parametrize("event", ["created", "updated", "deleted"])
def test_an_id_nobody_has_leaves_no_row_and_a_reason(
    world: World, source: ScriptedSource, entity: str, record: object, event: str
) -> None:
    key = ENTITIES[entity].stream.id_key
    named = {key: WHOLE} if event == "deleted" else record(WHOLE)  # type: ignore[operator]
    world.deliver(delivery(entity, named, event=event, complete=False))
    world.drain(entity)
    assert count(world, entity) == 0
    [(verdict, reason)] = said(world)
    assert (verdict, source.asked) == ("deleted", [[WHOLE]])
    assert reason is not None
    assert "Zoho has no such record" in reason
    assert "JavaScript" not in reason
    assert world.queue_depth() == 0
    assert world.audit(entity, WHOLE) == []


@pytest.mark.parametrize("complete", [True, False])
def test_a_rounded_id_is_named_as_what_it_looks_like(world: World, source: ScriptedSource, complete: bool) -> None:
    world.deliver(delivery("product", product(ROUNDED), complete=complete))
    world.drain("product")
    assert (owe(world), count(world)) == ((1, 1) if complete else (0, 0))
    world.drain("product")
    assert world.mirror("product", "name") == {}
    reason = said(world)[0][1]
    if complete:  # the event was over before
        reason = world.value("select detail->>'news' from tds_findings where subject = :id", id=ROUNDED)
    assert reason is not None
    assert "rounded" in reason
    assert "JavaScript" in reason


def test_an_id_that_only_looks_rounded_is_taken_for_what_it_is(world: World, source: ScriptedSource) -> None:
    source.records[ROUNDED] = product(ROUNDED)
    world.deliver(delivery("product", product(ROUNDED)))
    world.drain("product")
    assert said(world) == [("applied", None)]
    assert owe(world) == 1
    world.drain("product")
    assert list(world.mirror("product", "name")) == [ROUNDED]


def test_a_deletion_that_says_what_was_deleted_leaves_its_name(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("product", product("1", name="was here"), event="deleted"))
    world.drain("product")
    row = world.row("product", "1")
    assert (row["name"], row["version"], row["deleted_at"] is None) == ("was here", 1, False)
    world.deliver(delivery("product", product(ROUNDED, name="was rounded"), event="deleted"))
    world.drain("product")
    assert count(world) == 1


def test_a_deletion_changes_nothing_of_what_the_mirror_knew(world: World, source: ScriptedSource) -> None:
    source.records["1"] = product("1", second=5, rate=7)
    world.enqueue("product", "1")
    world.drain("product")
    source.records.clear()
    world.deliver(delivery("product", product("1", second=9, rate=3), event="deleted"))
    world.drain("product")
    row = world.row("product", "1")
    assert (row["price"], row["version"], row["deleted_at"] is None) == (7, 2, False)
    assert world.rows("select 1 from tds_findings") == []


@pytest.mark.parametrize(
    ("source_id", "looks"),
    [
        (ROUNDED, True), ("1783541000000099900", True), ("460000000026049000000", True), ("9007199254740994000", True),
        (WHOLE, False), ("460000000000010", False), ("9007199254740900", False), ("1783541000000012340", False),
        ("17835410000000123x0", False), ("", False),
    ],
)  # fmt: skip
def test_only_what_javascript_would_write_looks_rounded(source_id: str, looks: bool) -> None:
    assert looks_rounded(source_id) == looks


def test_an_old_body_that_comes_after_the_deletion_creates_nothing(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("product", {"item_id": "1"}, event="deleted", complete=False))
    world.drain("product")
    world.deliver(delivery("product", product("1", name="old"), event="created"))
    world.drain("product")
    assert (count(world), source.asked) == (0, [["1"], ["1"]])
    source.records["1"] = product("1", second=5, name="made anew")
    world.deliver(delivery("product", product("1", second=5, name="made anew"), event="created"))
    world.drain("product")
    assert world.row("product", "1")["name"] == "made anew"


@pytest.mark.parametrize(("entity", "record"), [("product", product), ("invoice", invoice)])
def test_a_record_of_another_organisation_does_not_stay(
    world: World, source: ScriptedSource, entity: str, record: object
) -> None:
    world.deliver(delivery(entity, record("21017"), event="created"))  # type: ignore[operator]
    world.drain(entity)
    assert count(world, entity) == 1  # what a webhook says is there at once
    assert owe(world) == (entity == "product")  # an invoice's body without all it could say is read anyhow
    world.drain(entity)
    row = world.row(entity, "21017")
    assert row["deleted_at"] is not None
    assert row["confirmed_at"] is not None
    finding = world.one("select entity, subject, detail from tds_findings where kind = 'stranger'")
    assert (finding["entity"], finding["subject"]) == (entity, "21017")
    assert "another organisation" in finding["detail"]["news"]
    assert owe(world) == 0


def test_what_zoho_has_is_confirmed_and_asked_for_once(world: World, source: ScriptedSource) -> None:
    source.records["1"] = product("1")
    world.deliver(delivery("product", product("1"), event="created"))
    world.drain("product")
    assert owe(world) == 1
    world.drain("product")
    row = world.row("product", "1")
    assert (row["version"], row["deleted_at"], row["confirmed_at"] is None) == (1, None, False)
    assert owe(world) == 0
    world.deliver(delivery("product", product("1", second=9, name="later")))
    world.drain("product")
    assert (owe(world), source.asked) == (0, [["1"]])
    assert world.rows("select 1 from tds_findings") == []


def test_what_a_list_has_shown_meanwhile_is_not_asked_for(world: World, source: ScriptedSource) -> None:
    raw = msgspec.json.encode(product("1"))
    source.pages.append(ListPage([ListedRow("1", at(0), raw)], has_more=False))
    world.know("product", product("1"))
    world.deliver(delivery("product", product("1"), event="created"))
    world.drain("product")
    assert world.run("product", "incremental", drains=False)["state"] == "completed"
    assert (owe(world), world.queue_depth("product")) == (0, 0)


def test_what_is_owed_already_is_left_for_later(world: World, source: ScriptedSource) -> None:
    world.deliver(delivery("product", product("1"), event="created"))
    world.drain("product")
    world.deliver(delivery("product", product("1", second=1)))
    assert owe(world) == 0
    world.drain("product")
    assert owe(world) == 1
