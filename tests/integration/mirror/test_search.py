"""Any record is found by the beginning of its number, SKU, name or id: exact ones first, and never many."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_core.mirror import search as core
from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

SEARCH = "/api/tds/search"


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            insert into erp.customer (source, source_id, name, version, deleted_at) values
                ('zoho', '460011', 'Inventive Ltd', 1, null), ('zoho', '460012', 'INV', 1, null),
                ('zoho', '460013', 'inv gone', 1, now())""")
        connection.exec_driver_sql("""
            insert into erp.invoice (source, source_id, number, status, version)
            select 'zoho', '46002' || n, 'INV-' || n, 'sent', 1 from generate_series(1, 9) n""")
        connection.exec_driver_sql("""
            insert into erp.product (source, source_id, name, sku, version) values
                ('zoho', '460099', 'Blue widget', 'W-1', 1), ('zoho', 'x1', null, null, 1)""")
    with sender_for(database, engine) as sender:
        yield sender


def hits(sender: Sender, text: str, **more: str) -> list[tuple[str, str]]:
    answer = sender.get(SEARCH, q=text, **more)
    assert answer.status_code == 200, answer.text
    return [(each["entity"], each["source_id"]) for each in answer.json["items"]]


def test_exact_ones_come_first_and_deleted_ones_last(sender: Sender) -> None:
    found = hits(sender, "inv")
    assert found[0] == ("customer", "460012")
    assert found[-1] == ("customer", "460013")
    assert len(found) == 12


def test_a_product_comes_before_its_stock(sender: Sender, engine: Engine) -> None:
    with engine.begin() as connection:
        for table, columns, values in (("stock_level", "sku", "'A-9'"), ("product", "sku, name", "'A-9', 'Zeta'")):
            connection.exec_driver_sql(
                f"insert into erp.{table} (source_id, source, version, {columns}) select '460100', 'zoho', 1, {values}"
            )
    assert hits(sender, "a-9") == [("product", "460100"), ("stock_level", "460100")]


def test_a_hit_says_what_a_person_knows_it_by(sender: Sender) -> None:
    [hit] = sender.get(SEARCH, q="w-1").json["items"]
    assert (hit["entity"], hit["label"], hit["matched"]) == ("product", "Blue widget · W-1", "sku")
    [nameless] = sender.get(SEARCH, q="x1").json["items"]
    assert (nameless["label"], nameless["matched"]) == (None, "source_id")


@pytest.mark.parametrize(("text", "expected"), [
    ("460099", [("product", "460099")]), ("blue wid", [("product", "460099")]), (" 460012 ", [("customer", "460012")]),
    ("4600999", []), ("99999", []), ("%", []), ("_", []), ("X1", []), ("\\", []), ("٤٦", []), ("   ", []),
])  # fmt: skip
def test_the_beginning_of_an_id_or_a_name_finds_it(sender: Sender, text: str, expected: list[tuple[str, str]]) -> None:
    assert hits(sender, text) == expected


def test_the_beginning_of_an_id_finds_all_that_begin_so(sender: Sender) -> None:
    assert len(hits(sender, "46002")) == 9
    assert len(hits(sender, "4600")) == 13


def test_one_entity_alone_is_searched_on_request(sender: Sender) -> None:
    assert {entity for entity, _ in hits(sender, "inv", entity="customer")} == {"customer"}
    assert sender.get(SEARCH, q="inv", entity="gadget").status_code == 422


def test_there_are_never_more_than_twenty(world: World, sender: Sender) -> None:
    world.execute("""
        insert into erp.bill (source, source_id, number, version)
        select 'zoho', 'b' || n, 'ZZ-' || n, 1 from generate_series(1, 50) n""")
    answer = sender.get(SEARCH, q="zz").json
    assert (len(answer["items"]), answer["has_more"]) == (20, True)
    assert sender.get(SEARCH, q="zz-50").json["has_more"] is False


@pytest.mark.parametrize("wrong", ["", "\x00", "x" * 201])
def test_what_cannot_be_searched_for_is_refused(sender: Sender, wrong: str) -> None:
    assert sender.get(SEARCH, q=wrong).status_code == 422
    assert sender.get(SEARCH).status_code == 422


def test_a_search_that_takes_too_long_ends_and_says_what_to_write(
    world: World, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "_id_condition", lambda sought: "pg_sleep(5) is not null")
    monkeypatch.setattr(core, "TIMEOUT_SECONDS", 1)
    answer = sender.get(SEARCH, q="46")
    assert (answer.status_code, answer.json["code"]) == (503, "search_too_slow")
    assert "Write more" in answer.json["detail"]


def test_every_field_that_is_searched_has_an_index_that_finds_it(world: World, sender: Sender) -> None:
    for entity in ENTITIES.values():
        for field in entity.searched:
            world.execute(
                f"insert into {entity.table.fullname} (source, source_id, {field.name}, version)"
                f" select 'zoho', 'n' || n || '{field.name}', 'val ' || n, 1 from generate_series(1, 3000) n"
            )
        world.execute(f"analyze {entity.table.fullname}")
        for field in entity.searched:
            condition = f"lower(left({field.name}, 200)) like 'val 77%'"
            plan = str(world.rows(f"explain select 1 from {entity.table.fullname} where {condition}"))
            assert f"ix_{entity.name}_{field.name}" in plan


def test_the_command_finds_and_says_when_there_is_nothing(
    sender: Sender, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tds = CommandLine(monkeypatch, capsys, columns=None)
    assert [each["source_id"] for each in tds("find", "w-1", "--json").json["items"]] == ["460099"]
    assert "Blue widget" in tds("find", "w-1").out
    assert tds("find", "nothing of ours").exit_code == 1
    assert tds("find", "inv", "--entity", "gadget").exit_code == 1
