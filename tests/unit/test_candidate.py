"""A record read exactly: no digit lost, every wrong field named, nothing let through that cannot be stored."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tds_core.sources.errors import InvalidRecordError
from tds_core.sync.candidate import Candidate, Provenance, Seen, fingerprint, transform
from tds_models.entities import ENTITIES
from tests.world import invoice, product


def read(entity: str, record: Any) -> Candidate:
    raw = record if isinstance(record, bytes) else msgspec.json.encode(record)
    return transform(ENTITIES[entity], raw, seen=Seen.DETAIL, provenance=Provenance("test"))


def reason(entity: str, record: Any) -> str:
    with pytest.raises(InvalidRecordError) as caught:
        read(entity, record)
    return str(caught.value)


def test_money_never_passes_through_a_float() -> None:
    raw = b'{"item_id":"1","name":"a","rate":0.1,"purchase_rate":12345678901234567890.123456789}'
    values = read("product", raw).values
    assert values["price"] == Decimal("0.1")
    assert values["purchase_price"] == Decimal("12345678901234567890.123456789")


@pytest.mark.parametrize("spelled", [b"9223372036854775807", b'"9223372036854775807"', b"99999999999999999999"])
def test_long_ids_keep_every_digit(spelled: bytes) -> None:
    assert read("product", b'{"item_id":' + spelled + b',"name":"a"}').source_id == spelled.decode().strip('"')


def test_times_become_utc() -> None:
    assert read("product", product(last_modified_time="2026-11-22T09:30:00+0300")).modified_at == datetime(
        2026, 11, 22, 6, 30, tzinfo=UTC
    )


def test_a_field_that_is_not_there_is_not_the_same_as_an_empty_one() -> None:
    values = read(
        "product", {"item_id": "1", "name": "a", "description": "", "reorder_level": "", "brand": None}
    ).values
    assert values["description"] == ""
    assert values["reorder_level"] is None
    assert values["brand"] is None
    assert "sku" not in values


def test_every_wrong_field_is_named_at_once() -> None:
    said = reason("product", product(rate=-1, purchase_rate="many", is_returnable="perhaps", name=""))
    for part in ("rate: -1 is less than 0", "purchase_rate: expected a number", "is_returnable: ", "name: required"):
        assert part in said


@pytest.mark.parametrize("raw", [b"", b"[]", b'"text"', b"null", b'{"item_id":"1"', b"[" * 5000, b"\xff{}"])
def test_what_is_no_record_says_so(raw: bytes) -> None:
    assert reason("product", raw).startswith(("not a JSON record", "expected a JSON object"))


@pytest.mark.parametrize("missing", [None, "", {}, [], True])
def test_a_record_without_an_id_is_refused(missing: Any) -> None:
    assert "item_id" in reason("product", product() | {"item_id": missing})


def test_a_record_of_another_kind_is_refused() -> None:
    vendor = {"contact_id": "1", "contact_name": "a", "contact_type": "vendor"}
    assert "contact_type" in reason("customer", vendor)
    assert read("vendor", vendor).source_id == "1"


def test_lines_are_read_in_order_with_what_they_lack_empty() -> None:
    lines = read("invoice", invoice()).lines["lines"]
    assert [(line["position"], line["line_id"], line["product_id"]) for line in lines] == [
        (0, "1", "460000000000001"),
        (1, "2", "460000000000002"),
    ]
    assert lines[0]["sku"] is None
    assert read("invoice", {k: v for k, v in invoice().items() if k != "line_items"}).lines == {}


def test_line_ids_are_text_however_they_are_spelled() -> None:
    spelled = read("invoice", invoice(line_items=[{"line_item_id": 460000000000000017}]))
    assert spelled.lines["lines"][0]["line_id"] == "460000000000000017"


@pytest.mark.parametrize("broken", [{}, "none", [1], [[]], None])
def test_lines_that_are_no_list_are_refused(broken: Any) -> None:
    assert "line_items: expected a list" in reason("invoice", invoice(line_items=broken))


def test_a_wrong_line_is_named_by_its_place() -> None:
    assert "line_items[1].quantity" in reason("invoice", invoice(line_items=[{}, {"quantity": "x"}]))


@pytest.mark.parametrize("odd", [rb"\u0000", rb"a\u0000b", rb"\ud800", rb"\udc00\ud800"])
def test_text_the_database_cannot_keep_is_refused_in_any_field(odd: bytes) -> None:
    said = reason("product", b'{"item_id":"1","name":"a","cf_unknown":"' + odd + b'"}')
    assert "PostgreSQL" in said or "not a JSON record" in said


def test_text_that_only_looks_like_an_escape_is_kept() -> None:
    assert read("product", rb'{"item_id":"1","name":"a\\u0000b"}').values["name"] == r"a\u0000b"


@pytest.mark.parametrize("number", ["1e31", "-1e400", "NaN", "Infinity", "1e-31"])
def test_numbers_out_of_all_proportion_are_refused(number: str) -> None:
    assert "rate" in reason("product", product(rate=number))


def test_equal_bytes_have_one_fingerprint_and_other_bytes_another() -> None:
    assert fingerprint(b"{}") == fingerprint(b"{}") != fingerprint(b"{ }")
