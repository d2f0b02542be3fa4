"""Every figure comes from planted rows: two currencies, deleted rows, rows without a status, and empty tables."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tds_core.statistics.entity_figures import FigureKind, breakdowns_of, figures_of, measure, read_figures
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.planted_rows import plant, records

GONE = {"deleted_at": "2026-11-21T00:00:00Z"}


def measured(engine: Engine, entity: str, zone: str = "UTC") -> dict[str, Any]:
    with session_scope(engine) as session:
        return read_figures(entity, measure(session, entity, zone=zone))


@pytest.mark.parametrize("entity", list(ENTITIES))
def test_an_empty_table_has_no_records_no_amounts_and_no_moments(engine: Engine, entity: str) -> None:
    figures = measured(engine, entity)
    assert set(figures) == {each.name for each in (*figures_of(entity), *breakdowns_of(entity))}
    nothing = {FigureKind.COUNT: 0, FigureKind.AMOUNT: "0", FigureKind.MOMENT: None}
    assert {each.name: figures[each.name] for each in figures_of(entity)} == {
        each.name: nothing[each.kind] for each in figures_of(entity)
    }
    assert all(figures[each.name] == [] for each in breakdowns_of(entity))


def test_records_are_counted_by_status_and_tombstones_apart(engine: Engine) -> None:
    records(
        engine, "product", {"status": "active"}, {"status": "active"}, {"status": "inactive"}, {},
        {"status": "active", **GONE}, {"status": "inactive", **GONE},
    )  # fmt: skip
    figures = measured(engine, "product")
    assert (figures["live_count"], figures["deleted_count"]) == (4, 2)
    assert (figures["active_count"], figures["inactive_count"]) == (2, 1)


def test_confirmation_and_change_are_told_by_the_oldest_and_newest(engine: Engine) -> None:
    records(
        engine, "customer",
        {"confirmed_at": "2026-11-03T00:00:00Z", "source_modified_at": "2026-10-01T00:00:00Z"},
        {"confirmed_at": "2026-11-02T00:00:00Z", "source_modified_at": "2026-10-02T00:00:00Z"},
        {"confirmed_at": None}, {"confirmed_at": "2026-11-01T00:00:00Z", **GONE},
    )  # fmt: skip
    figures = measured(engine, "customer")
    assert figures["oldest_confirmed_at"] == datetime(2026, 11, 2, tzinfo=UTC)
    assert figures["newest_modified_at"] == datetime(2026, 10, 2, tzinfo=UTC)
    assert figures["unconfirmed_count"] == 1


def test_stock_is_counted_and_valued_where_there_is_some(engine: Engine) -> None:
    records(
        engine, "product",
        {"stock_on_hand": "10", "purchase_price": "1.255", "price": "2"},
        {"stock_on_hand": "0.5", "purchase_price": "3", "price": "4"},
        {"stock_on_hand": "0", "purchase_price": "100", "price": "100"},
        {"stock_on_hand": "-2", "purchase_price": "7", "price": "9"},
        {"stock_on_hand": "3", "price": "5"},
        {"purchase_price": "50"},
        {"stock_on_hand": "1000", "purchase_price": "1000", "price": "1000", **GONE},
    )  # fmt: skip
    figures = measured(engine, "product")
    assert (figures["with_stock_count"], figures["without_stock_count"]) == (3, 2)
    assert (figures["negative_stock_count"], figures["untracked_count"]) == (1, 1)
    assert (float(figures["stock_on_hand"]), figures["stock_without_cost_count"]) == (11.5, 1)
    assert (float(figures["stock_value"]), float(figures["stock_sales_value"])) == (14.05, 37.0)


def test_stock_by_location_is_valued_at_the_products_cost(engine: Engine) -> None:
    records(engine, "product", {"purchase_price": "2.5"}, {"purchase_price": None}, {"purchase_price": "9", **GONE})
    records(engine, "stock_level", {"stock_on_hand": "12"}, {"stock_on_hand": "0"}, {"stock_on_hand": "5", **GONE})
    place = {"source": "zoho", "position": 0, "location_id": "a", "location_name": "Main"}
    plant(
        engine, "erp.stock_level_location",
        {**place, "parent_id": "1", "stock_on_hand": "10"},
        {**place, "parent_id": "1", "position": 1, "location_id": "b", "location_name": "Shop", "stock_on_hand": "2"},
        {**place, "parent_id": "2", "stock_on_hand": "4"},
        {**place, "parent_id": "3", "stock_on_hand": "5"},
    )  # fmt: skip
    figures = measured(engine, "stock_level")
    assert (figures["with_stock_count"], figures["without_stock_count"]) == (1, 1)
    assert [(each["location_id"], each["location_name"], each["product_count"], float(each["stock_on_hand"]),
             float(each["stock_value"])) for each in figures["locations"]] == [
        ("a", "Main", 2, 14.0, 25.0), ("b", "Shop", 1, 2.0, 5.0),
    ]  # fmt: skip


@pytest.mark.parametrize("entity", ["invoice", "bill", "credit_note"])
def test_what_documents_leave_to_pay_is_added_up_by_currency_alone(engine: Engine, entity: str) -> None:
    records(
        engine, entity,
        {"currency_code": "IQD", "balance": "1000.25", "status": "sent"},
        {"currency_code": "IQD", "balance": "0.75", "status": "overdue"},
        {"currency_code": "USD", "balance": "20", "status": "open"},
        {"balance": "3"},
        {"currency_code": "USD", "balance": "0", "status": "paid"},
        {"currency_code": "USD", "balance": "70", "status": "draft"},
        {"currency_code": "USD", "balance": "80", "status": "void"},
        {"currency_code": "EUR", "balance": "90", "status": "sent", **GONE},
    )  # fmt: skip
    found = [(row["currency"], row["document_count"], row["outstanding"]) for row in
             measured(engine, entity)["outstanding"]]  # fmt: skip
    assert found == [("IQD", 2, "1001.00"), ("USD", 1, "20"), (None, 1, "3")]


def test_overdue_begins_when_the_day_it_was_due_has_ended_there(engine: Engine) -> None:
    with engine.connect() as connection:
        due = connection.execute(text("select (now() at time zone 'Pacific/Kiritimati')::date - 1")).scalar_one()
    records(engine, "invoice", {"currency_code": "IQD", "balance": "5", "status": "sent", "due_on": due})
    [there] = measured(engine, "invoice", "Pacific/Kiritimati")["outstanding"]
    assert (there["overdue_count"], there["overdue"]) == (1, "5")
    [elsewhere] = measured(engine, "invoice", "Pacific/Pago_Pago")["outstanding"]  # 25 hours behind
    assert (elsewhere["overdue_count"], elsewhere["overdue"]) == (0, "0")


@pytest.mark.parametrize("entity", ["customer", "vendor"])
def test_what_contacts_owe_is_added_up_by_currency_alone(engine: Engine, entity: str) -> None:
    records(
        engine, entity,
        {"currency_code": "IQD", "outstanding": "1500.5", "unused_credits": "0"},
        {"currency_code": "USD", "outstanding": "-20", "unused_credits": "5"},
        {"currency_code": "USD", "outstanding": "30"},
        {"currency_code": "EUR", "outstanding": "0", "unused_credits": "0"},
        {"currency_code": "IQD", "outstanding": "9999", **GONE},
    )  # fmt: skip
    found = measured(engine, entity)["outstanding"]
    assert [(row["currency"], row["contact_count"], float(row["outstanding"]), float(row["unused_credits"]))
            for row in found] == [("IQD", 1, 1500.5, 0.0), ("USD", 2, 10.0, 5.0)]  # fmt: skip


def test_coverage_counts_each_active_product_once_for_a_list(engine: Engine) -> None:
    records(
        engine, "product",
        {"status": "active"}, {"status": "active"}, {}, {"status": "active"},
        {"status": "inactive"}, {"status": "active", **GONE},
    )  # fmt: skip
    records(
        engine, "price_list",
        {"source_id": "retail", "name": "Retail", "currency_code": "IQD", "status": "active"},
        {"source_id": "export", "name": "Export", "currency_code": "USD", "status": "inactive"},
        {"source_id": "old", "name": "Old", **GONE},
    )  # fmt: skip
    lines = [("retail", "1", "5"), ("retail", "1", "4"), ("retail", "2", "1"), ("retail", "3", None),
             ("retail", "5", "9"), ("retail", "6", "9"), ("retail", "unknown", "9"), ("old", "4", "1")]  # fmt: skip
    plant(engine, "erp.price_list_price", *(
        {"source": "zoho", "parent_id": each, "position": number, "product_id": product, "price": price}
        for number, (each, product, price) in enumerate(lines)
    ))  # fmt: skip
    figures = measured(engine, "price_list")
    coverage = [(row["price_list_id"], row["currency"], row["price_count"], row["priced_product_count"],
                 row["product_count"], row["share"]) for row in figures["coverage"]]  # fmt: skip
    assert coverage == [("export", "USD", 0, 0, 4, 0.0), ("retail", "IQD", 6, 2, 4, 0.5)]
    assert figures["unpriced_product_count"] == 2
    assert (figures["active_count"], figures["inactive_count"]) == (1, 1)


def test_a_list_without_products_to_price_has_no_share(engine: Engine) -> None:
    records(engine, "price_list", {"name": "Retail"})
    assert measured(engine, "price_list")["coverage"][0]["share"] is None


def test_documents_are_open_or_closed_by_their_status(engine: Engine) -> None:
    records(
        engine, "invoice", {"status": "sent"}, {"status": "paid"}, {"status": "void"}, {}, {"status": "sent", **GONE}
    )
    figures = measured(engine, "invoice")
    assert (figures["open_count"], figures["closed_count"], figures["live_count"]) == (1, 2, 4)
    assert figures["details_left"] == 0
