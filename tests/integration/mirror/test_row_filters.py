"""Rows are filtered by what their declaration names; what is no filter is refused with those there are."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from tds_models.entities import ENTITIES
from tests.support.command_line import CommandLine
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

ROWS = "/api/tds/entities"


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with engine.begin() as connection:
        connection.exec_driver_sql("""
            insert into erp.customer (source, source_id, name, version) values
                ('zoho', '31', 'Acme Ltd', 1), ('zoho', '32', 'Acme Ltd', 1), ('zoho', '33', '100%% Wool_Co', 1)""")
        connection.exec_driver_sql("""
            insert into erp.invoice (source, source_id, number, customer_id, status, version) values
                ('zoho', '1', 'INV-1', '31', 'sent', 1), ('zoho', '2', 'INV-2', '32', 'paid', 1),
                ('zoho', '3', 'inv-10', '33', 'paid', 1), ('zoho', '4', 'INV-1', '33', 'Paid', 1)""")
        connection.exec_driver_sql("""
            insert into erp.product (source, source_id, name, sku, status, version)
            select 'zoho', n::text, 'Widget ' || n, 'W-' || n, 'active', 1 from generate_series(1, 12) n""")
    with sender_for(database, engine) as sender:
        yield sender


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys, columns=None)


def ids(sender: Sender, entity: str, **filters: str) -> list[str]:
    answer = sender.get(f"{ROWS}/{entity}", **filters)
    assert answer.status_code == 200, answer.text
    return [row["source_id"] for row in answer.json["items"]]


@pytest.mark.parametrize(("entity", "filters", "expected"), [
    ("invoice", {"status": "paid"}, ["2", "3"]),
    ("invoice", {"number": "inv-1"}, ["1", "4"]),
    ("invoice", {"number": "INV-10"}, ["3"]),
    ("invoice", {"customer": "31"}, ["1"]),
    ("invoice", {"customer": "acme ltd"}, ["1", "2"]),
    ("invoice", {"customer": "acme"}, []),
    ("invoice", {"customer": "100% wool_co", "status": "paid"}, ["3"]),
    ("customer", {"name": "acme"}, ["31", "32"]),
    ("customer", {"name": "100%"}, ["33"]),
    ("customer", {"name": "%"}, []),
    ("customer", {"name": "100_"}, []),
    ("product", {"sku": "w-1"}, ["1"]),
    ("product", {"name": "widget 1"}, ["1", "10", "11", "12"]),
])  # fmt: skip
def test_rows_are_filtered(sender: Sender, entity: str, filters: dict[str, str], expected: list[str]) -> None:
    assert ids(sender, entity, **filters) == expected


def test_pages_of_filtered_rows_go_on(sender: Sender) -> None:
    first = sender.get(f"{ROWS}/product", status="active", limit=5).json
    assert ids(sender, "product", status="active", limit="500", cursor=first["next_cursor"]) == [
        "3", "4", "5", "6", "7", "8", "9",
    ]  # fmt: skip


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_filter_of_every_entity_is_asked_by_its_name(sender: Sender, entity: str) -> None:
    described = sender.get("/api/tds/openapi.json").json["paths"][f"{ROWS}/{entity}"]["get"]["parameters"]
    names = {each.get("name") for each in described}
    assert set(ENTITIES[entity].filters) <= names
    for name in ENTITIES[entity].filters:
        assert ids(sender, entity, **{name: "none has it"}) == []


@pytest.mark.parametrize(("entity", "name"), [("category", "sku"), ("invoice", "stauts"), ("product", "customer")])
def test_what_is_no_filter_is_refused_with_those_there_are(sender: Sender, entity: str, name: str) -> None:
    answer = sender.get(f"{ROWS}/{entity}", **{name: "x"})
    assert (answer.status_code, answer.json["code"]) == (422, "unknown_filter")
    assert all(each in answer.json["detail"] for each in ENTITIES[entity].filters)


def test_an_empty_filter_is_refused_and_never_means_all(sender: Sender) -> None:
    assert sender.get(f"{ROWS}/invoice", status="").status_code == 422


def test_the_past_is_not_filtered_by_the_present(sender: Sender) -> None:
    answer = sender.get(f"{ROWS}/invoice", as_of="2026-11-01T00:00:00Z", status="paid")
    assert (answer.status_code, "as_of" in answer.json["detail"]) == (422, True)


def test_a_name_of_any_length_is_stored_and_found_by_its_beginning(world: World, sender: Sender) -> None:
    world.execute(
        "insert into erp.customer (source, source_id, name, version) values ('zoho', '40', repeat('Löng', 5000), 1)"
    )
    assert ids(sender, "customer", name="lönglöng") == ["40"]


def test_the_command_shows_rows_by_filters(sender: Sender, tds: CommandLine) -> None:
    found = tds("rows", "invoice", "--where", "status=paid", "--where", "customer=Acme Ltd", "--json").json
    assert [row["source_id"] for row in found] == ["2"]
    assert "INV-2" in tds("rows", "invoice", "--where", "number=inv-2").out
    said = tds("rows", "invoice", "--where", "sku=1")
    assert (said.exit_code, "number, customer, status" in said.errors) == (1, True)
    said = tds("rows", "invoice", "--where", "status")
    assert (said.exit_code, "--where status=active" in said.errors) == (2, True)
