"""The demo's own judgement: it must be able to say no."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from typer import BadParameter

from tds_lab.comparison.expected_columns import Expected
from tds_lab.comparison.expected_rows import EXPECTED
from tds_lab.comparison.mirror_comparison import differences
from tds_lab.demo.report import problems
from tds_lab.demo.stats import PendingWork
from tds_lab.zoho_stand_in import ENTITY_OF, ENTITY_OF_MODULE, SIZES, counts_of
from tds_models.entities import ENTITIES

NOTHING_OWED = PendingWork(0, 0, 0)


def report(**more: Any) -> dict[str, Any]:
    return {
        "differences": 0,
        "events_without_verdict": 0,
        "events_received": 100,
        "duplicates": 7,
        "rejected": 3,
        "deliveries": {
            "genuine": {"202": 95, "200": 2},
            "stale": {"202": 5},
            "duplicate": {"200": 5},
            "forged": {"401": 3},
        },
        **more,
    }


def deliveries(**more: dict[str, int]) -> dict[str, dict[str, int]]:
    return {**report()["deliveries"], **more}


def test_a_clean_demo_has_no_problems() -> None:
    assert problems(report(), NOTHING_OWED) == []


@pytest.mark.parametrize(
    "spoilt",
    [
        {"differences": 1},
        {"events_without_verdict": 1},
        {"events_received": 99},  # an answered delivery that nobody kept
        {"events_received": 101},  # an event from nowhere
        {"duplicates": 6},
        {"rejected": 2},
        {"deliveries": deliveries(forged={"401": 3, "202": 1})},
    ],
)
def test_every_single_mismatch_is_a_problem(spoilt: dict[str, Any]) -> None:
    assert problems(report(**spoilt), NOTHING_OWED)


def test_what_is_still_owed_is_a_problem() -> None:
    assert problems(report(), PendingWork(0, 1, 0))


def test_a_delivery_whose_answer_was_lost_may_or_may_not_be_kept() -> None:
    lost = deliveries(genuine={"202": 94, "200": 2, "error": 1})
    assert problems(report(deliveries=lost, events_received=99), NOTHING_OWED) == []
    assert problems(report(deliveries=lost, events_received=100), NOTHING_OWED) == []
    assert problems(report(deliveries=lost, events_received=98), NOTHING_OWED)


def test_duplicates_older_than_their_window_are_not_missed() -> None:
    assert problems(report(duplicates=2), NOTHING_OWED, duplicates_counted=False) == []


PRODUCT = EXPECTED[0]
RECORD = {"item_id": "1", "name": "Lamp", "rate": Decimal("9.50"), "last_modified_time": "2026-11-22T12:00:00+0300"}


def row_of(expected: Expected, record: dict[str, Any]) -> dict[str, Any]:
    return {**expected.row(record), "deleted_at": None}


def test_equal_sides_have_no_differences() -> None:
    assert list(differences(PRODUCT, RECORD, row_of(PRODUCT, RECORD), {})) == []


@pytest.mark.parametrize(
    ("column", "value"), [("name", "lamp"), ("price", Decimal("9.51")), ("price", None), ("sku", ""), ("status", "x")]
)
def test_one_wrong_column_is_one_difference(column: str, value: Any) -> None:
    wrong = {**row_of(PRODUCT, RECORD), column: value}
    assert [each.field for each in differences(PRODUCT, RECORD, wrong, {})] == [column]


def test_a_missing_and_a_wrongly_deleted_row_are_differences() -> None:
    deleted = {**row_of(PRODUCT, RECORD), "deleted_at": datetime.now(UTC)}
    assert [each.what for each in differences(PRODUCT, RECORD, None, {})] == ["missing here"]
    assert [each.what for each in differences(PRODUCT, RECORD, deleted, {})] == ["live there, deleted here"]


def test_parts_must_agree_in_content_and_order() -> None:
    invoice = next(each for each in EXPECTED if each.entity == "invoice")
    record = {"invoice_id": "1", "line_items": [{"line_item_id": "1", "quantity": 1}, {"line_item_id": "2"}]}
    row, [parts] = row_of(invoice, record), invoice.parts
    lines = parts.rows(record)
    assert list(differences(invoice, record, row, {"line_items": lines})) == []
    for wrong in (lines[::-1], lines[:1], [*lines, lines[0]], []):
        assert [each.what for each in differences(invoice, record, row, {"line_items": wrong})] == ["parts"]


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda each: each.entity)
def test_no_typed_column_of_the_mirror_is_left_out_of_the_comparison(expected: Expected) -> None:
    entity = ENTITIES[expected.entity]
    stamps = {"source_modified_at"} if entity.stream.modified_key else set()
    assert (expected.table, set(expected.columns)) == (
        entity.table.fullname,
        {field.name for field in entity.fields} | stamps,
    )
    assert {parts.table: set(parts.columns) for parts in expected.parts} == {
        entity.line_tables[lines.name].fullname: {field.name for field in lines.fields} | {"line_id"}
        for lines in entity.lines
    }


def test_every_entity_is_compared() -> None:
    assert sorted(each.entity for each in EXPECTED) == sorted(ENTITIES)


def test_webhooks_are_sent_for_every_entity_whose_module_zoho_s_rules_know() -> None:
    rule_modules = {entity.stream.rule_module: name for name, entity in ENTITIES.items() if entity.stream.rule_module}
    assert rule_modules == ENTITY_OF_MODULE


def test_every_size_names_every_count_and_some_of_them_can_be_changed() -> None:
    for size in SIZES:
        assert set(counts_of(size, [])) == {*ENTITY_OF, "prices"}
    assert counts_of("small", ["orders=900"]) == {**SIZES["small"], "orders": 900}
    for wrong in ("orders", "orders=", "orders=-1", "boats=3"):
        with pytest.raises(BadParameter, match="names are products, customers"):
            counts_of("usual", [wrong])
