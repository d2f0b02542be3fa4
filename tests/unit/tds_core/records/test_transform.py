"""A record read exactly: no digit lost, every wrong field named, nothing let through that cannot be stored."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.records.transform import Candidate, Provenance, RecordView, fingerprint, transform
from tds_models.entities import ENTITIES
from tds_models.findings import Severity
from tests.support.world import invoice, product


def read(entity: str, record: Any, view: RecordView = RecordView.DETAIL) -> Candidate:
    raw = record if isinstance(record, bytes) else msgspec.json.encode(record)
    return transform(ENTITIES[entity], raw, view=view, provenance=Provenance("test"))


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


PART = {
    "item_id": "1",
    "name": "a",
    "reorder_level": "",
    "brand": None,
    "last_modified_time": "2026-11-22T09:30:00+0300",
}


@pytest.mark.parametrize("view", [RecordView.LIST, RecordView.BODY])
def test_a_field_that_a_list_or_a_body_does_not_mention_is_not_the_same_as_an_empty_one(view: RecordView) -> None:
    raw = msgspec.json.encode(PART)
    values = transform(ENTITIES["product"], raw, view=view, provenance=Provenance("test")).values
    assert values["reorder_level"] is None
    assert values["brand"] is None
    assert "sku" not in values


def test_a_detail_without_a_key_that_details_show_says_that_there_is_no_value() -> None:
    assert read("product", PART).values["sku"] is None
    for odd in ({"item_id": "1"}, {"item_id": "1", "sku": "a"}):
        found = read("product", odd)
        assert found.values.keys() == odd.keys() - {"item_id"}, "what does not even say when it changed is no detail"
        assert found.lines == read("stock_level", odd).lines == {} or "sku" in odd


def test_a_detail_without_a_key_nobody_describes_says_so_only_once_one_had_it() -> None:
    user = msgspec.json.encode({"user_id": "1", "name": "a"})
    for shown, cleared in ((frozenset(), False), (frozenset({"email"}), True)):
        candidate = transform(
            ENTITIES["user"], user, view=RecordView.DETAIL, provenance=Provenance("test"), shown=shown
        )
        assert ("email" in candidate.values) is cleared
        assert candidate.values["status"] is None


def test_a_key_by_its_older_name_is_the_same_value() -> None:
    stock = {
        "item_id": "1",
        "warehouses": [{"warehouse_id": "7", "warehouse_name": "Main", "warehouse_stock_on_hand": "20.00"}],
    }
    [line] = read("stock_level", stock).lines["locations"]
    assert (line["line_id"], line["location_id"], line["location_name"], line["stock_on_hand"]) == (
        "7",
        "7",
        "Main",
        20,
    )
    for both in ({"warehouse_id": "8"}, {"warehouse_id": "8", "location_id": ""}):
        line_of_it = {"line_item_id": "1", **both}
        found = read("invoice", invoice(**both, line_items=[line_of_it]))
        assert (found.values["location_id"], found.lines["lines"][0]["location_id"]) == ("8", "8")
    newer = read(
        "bill", {"bill_id": "1", "bill_number": "B", "vendor_id": "2", "warehouse_id": "8", "location_id": "9"}
    )
    assert newer.values["location_id"] == "9"
    location = read("location", {"location_id": "1", "location_name": "a", "is_location_active": False})
    assert location.values["status"] == "inactive"


def test_every_value_that_cannot_be_read_is_a_flaw_and_costs_no_other() -> None:
    candidate = read("product", product(rate=-1, purchase_rate="9,99", is_returnable="perhaps", name="", sku="S"))
    assert candidate.values["price"] == -1
    assert [candidate.values[name] for name in ("purchase_price", "is_returnable", "name")] == [None, None, None]
    assert candidate.values["sku"] == "S"
    assert [(each.key, each.found, each.is_stored) for each in candidate.flaws] == [
        ("rate", "-1", True),
        ("purchase_rate", "9,99", False),
        ("is_returnable", "perhaps", False),
        ("name", None, True),
    ]
    assert candidate.flaws[3].reason == "required, but empty"
    assert candidate.flaws[1].reason == "expected a number, got '9,99'"


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
    assert read("invoice", {k: v for k, v in invoice().items() if k != "line_items"}).lines == {"lines": []}


def test_line_ids_are_text_however_they_are_spelled() -> None:
    spelled = read("invoice", invoice(line_items=[{"line_item_id": 460000000000000017}]))
    assert spelled.lines["lines"][0]["line_id"] == "460000000000000017"


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_lines_that_say_nothing_are_not_spoken_of_but_in_a_detail(nothing: Any) -> None:
    for seen, lines in ((RecordView.LIST, {}), (RecordView.BODY, {}), (RecordView.DETAIL, {"lines": []})):
        candidate = read("invoice", invoice(line_items=nothing), seen)
        assert (candidate.lines, candidate.flaws) == (lines, [])


@pytest.mark.parametrize("broken", [{}, "none", 5, {"0": {}}])
def test_what_is_no_list_of_lines_is_a_flaw_and_leaves_the_lines_alone(broken: Any) -> None:
    candidate = read("invoice", invoice(line_items=broken, total=7))
    assert candidate.lines == {}
    assert candidate.values["total"] == 7
    [flaw] = candidate.flaws
    assert flaw.key == "line_items"
    assert "expected a list of lines" in flaw.reason


def test_what_is_no_line_is_a_flaw_and_costs_no_other_line() -> None:
    candidate = read("invoice", invoice(line_items=[{"line_item_id": "1"}, 5, None, {"line_item_id": "2"}]))
    assert [(line["position"], line["line_id"]) for line in candidate.lines["lines"]] == [(0, "1"), (1, "2")]
    assert [flaw.key for flaw in candidate.flaws] == ["line_items[1]"]


def test_a_wrong_value_of_a_line_is_named_by_its_place_and_costs_no_other() -> None:
    candidate = read("invoice", invoice(line_items=[{}, {"quantity": "x", "rate": 2, "line_item_id": []}]))
    assert [candidate.lines["lines"][1][name] for name in ("quantity", "rate", "line_id")] == [None, 2, None]
    assert [flaw.key for flaw in candidate.flaws] == ["line_items[1].line_item_id", "line_items[1].quantity"]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (rb'"a\u0000b"', "NUL"),
        (rb'"\ud800"', "half a character"),
        (rb'"\udc00\ud800"', "half a character"),
        (b'"' + b"x" * 1_000_001 + b'"', "1,000,001 characters"),
        (b"1e99999", "out of range"),
        (b"1e99999999999999999999999", "out of range"),
        (b"9" * 5_000, "out of range"),
        (b"1." + b"3" * 20_000, "out of range"),
    ],
    ids=["nul", "half", "halves", "long", "large", "endless", "digits", "fraction"],
)
@pytest.mark.parametrize("key", ["description", "unknown", "cf_x", "documents"])
def test_what_the_database_cannot_keep_is_taken_out_of_the_record(key: str, odd: bytes, reason: str) -> None:
    value = b'[{"deep":' + odd + b"}]" if key == "documents" else odd
    raw = b'{"item_id":"1","rate":0.10,"' + key.encode() + b'":' + value + b',"name":"a"}'
    candidate = read("product", raw)
    assert (candidate.values["name"], candidate.values.get("description")) == ("a", None)
    [flaw] = candidate.flaws
    assert (flaw.key, flaw.found) == ("documents[0].deep" if key == "documents" else key, None)
    assert reason in flaw.reason
    kept = msgspec.json.decode(candidate.record)
    assert kept.pop(key) == ([{"deep": None}] if key == "documents" else None)
    assert kept == {"item_id": "1", "rate": 0.1, "name": "a"}


def test_text_that_only_looks_like_an_escape_is_kept() -> None:
    assert read("product", rb'{"item_id":"1","name":"a\\u0000b"}').values["name"] == r"a\u0000b"


@pytest.mark.parametrize("number", ["1e31", "-1e400", "NaN", "Infinity", "1e-31"])
def test_numbers_out_of_all_proportion_are_no_values(number: str) -> None:
    candidate = read("product", product(rate=number))
    assert candidate.values["price"] is None
    assert [flaw.key for flaw in candidate.flaws] == ["rate"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"custom_field_hash": {"cf_x": "1", "cf_x_unformatted": 1}}, {"cf_x": 1}),
        ({"cf_x": "1", "cf_x_unformatted": 1, "custom_field_hash": []}, {"cf_x": 1}),
        ({"custom_fields": [{"api_name": "cf_x", "value": 1}]}, {"cf_x": 1}),
        ({"custom_fields": [{"api_name": "cf_x", "value": 1}], "custom_field_hash": {}}, {"cf_x": 1}),
        ({"custom_fields": [{"api_name": "cf_x", "value": 1}], "cf_y": 2}, {"cf_x": 1, "cf_y": 2}),
        ({"custom_field_hash": []}, None),
        ({"custom_field_hash": {}}, None),
        ({"custom_field_hash": None}, None),
    ],
)
def test_an_organisations_own_fields_come_together_whichever_way_they_came(said: Any, kept: Any) -> None:
    candidate = read("product", product(**said))
    assert (candidate.values["custom_fields"], candidate.flaws) == (kept, [])


@pytest.mark.parametrize("said", [{}, {"custom_fields": []}, {"custom_fields": None}])
def test_a_record_without_own_fields_does_not_speak_of_them_but_in_a_detail(said: Any) -> None:
    for seen in (RecordView.LIST, RecordView.BODY):
        assert "custom_fields" not in read("product", product(**said), seen).values
    assert read("product", product(**said)).values["custom_fields"] is None


@pytest.mark.parametrize("odd", [{"custom_field_hash": "x"}, {"custom_field_hash": [1]}, {"custom_fields": "x"}])
def test_own_fields_of_another_shape_are_a_flaw(odd: Any) -> None:
    candidate = read("product", product(**odd, name="a"))
    assert (candidate.values["custom_fields"], candidate.values["name"]) == (None, "a")
    assert [flaw.key for flaw in candidate.flaws] == ["custom_field_hash"]


def test_equal_bytes_have_one_fingerprint_and_other_bytes_another() -> None:
    assert fingerprint(b"{}") == fingerprint(b"{}") != fingerprint(b"{ }")


@pytest.mark.parametrize("spelled", ["", " ", None, "Vendor", " vendor", "VENDOR "])
def test_a_kind_is_known_however_it_is_spelled_and_nothing_is_none(spelled: object) -> None:
    candidate = read("vendor", {"contact_id": "1", "contact_type": spelled, "contact_name": "n"})
    assert (candidate.values["name"], candidate.flaws) == ("n", [])


@pytest.mark.parametrize("spelled", ["person", 5, True, [], {}, ["customer"]])
def test_a_kind_that_cannot_be_read_costs_no_record_and_moves_none(spelled: object) -> None:
    candidate = read("vendor", {"contact_id": "1", "contact_type": spelled, "contact_name": "n"})
    [flaw] = candidate.flaws
    assert (candidate.values["name"], flaw.key, flaw.is_stored) == ("n", "contact_type", False)
    assert "expected customer or vendor" in flaw.reason


@pytest.mark.parametrize("spelled", ["customer", "Customer", " CUSTOMER "])
def test_a_record_of_the_other_kind_is_none_of_this(spelled: str) -> None:
    with pytest.raises(OtherKindError):
        read("vendor", {"contact_id": "1", "contact_type": spelled})


@pytest.mark.parametrize(
    ("spelled", "status"),
    [(True, "active"), ("true", "active"), (1, "active"), ("1", "active"), (False, "inactive"), ("FALSE", "inactive"),
     (0, "inactive"), ("0", "inactive"), (None, None), ("", None), (" ", None)],
)  # fmt: skip
def test_what_an_older_key_says_is_read_like_any_boolean(spelled: object, status: str | None) -> None:
    candidate = read("location", {"location_id": "1", "location_name": "n", "is_location_active": spelled})
    assert (candidate.values["status"], candidate.flaws) == (status, [])


@pytest.mark.parametrize("spelled", ["maybe", 2, [True], {"a": 1}])
def test_what_an_older_key_says_unreadably_is_nothing_and_reported(spelled: object) -> None:
    candidate = read("location", {"location_id": "1", "location_name": "n", "is_location_active": spelled})
    [flaw] = candidate.flaws
    assert (candidate.values["status"], flaw.key, flaw.field) == (None, "status", "status")
    assert "is_location_active: expected true or false" in flaw.reason


@pytest.mark.parametrize("spelled", [" 2026-11-22T09:30:00+0300", "2026-11-22T09:30:00+0300 \n"])
def test_blanks_around_a_time_are_not_of_it(spelled: str) -> None:
    assert read("product", product(last_modified_time=spelled)).modified_at == datetime(2026, 11, 22, 6, 30, tzinfo=UTC)


ODD_OWN_FIELDS = [
    ({"custom_fields": [{"api_name": "cf_a", "value": "x"}], "custom_field_hash": "odd"}, {"cf_a": "x"}),
    ({"custom_fields": "odd", "custom_field_hash": {"cf_a": "x"}}, {"cf_a": "x"}),
    ({"cf_a": "x", "custom_field_hash": 5}, {"cf_a": "x"}),
    ({"custom_fields": "odd", "custom_field_hash": ""}, None),
]


@pytest.mark.parametrize(("own", "kept"), ODD_OWN_FIELDS)
def test_own_fields_of_an_odd_shape_hide_no_others(own: dict[str, Any], kept: Any) -> None:
    candidate = read("stock_adjustment", {"inventory_adjustment_id": "1"} | own)
    assert candidate.values["custom_fields"] == kept
    assert [flaw.key for flaw in candidate.flaws] == ["custom_field_hash"]


@pytest.mark.parametrize(("entity", "record", "missing"), [
    ("product", {"item_id": "1", "name": "a", "sku": " "}, {"sku": Severity.ERROR}),
    ("bill", {"bill_id": "1", "vendor_id": "2", "date": "2026-11-01", "total": 1}, {"bill_number": Severity.WARNING}),
    ("invoice", {"invoice_id": "1", "customer_id": ["x"], "date": "", "total": 1, "invoice_number": "I"},
     {"date": Severity.ERROR}),
])  # fmt: skip
def test_a_detail_without_a_required_value_is_doubted_and_stays(
    entity: str, record: dict[str, Any], missing: dict[str, Severity]
) -> None:
    """A value that could not be read is told once, as what it is."""
    whole = read(entity, {**record, "last_modified_time": "2026-11-01T12:00:00+0000"})
    assert {flaw.key: flaw.severity for flaw in whole.flaws if flaw.is_stored} == missing
    in_a_list = read(entity, {**record, "last_modified_time": "2026-11-01T12:00:00+0000"}, view=RecordView.LIST)
    shown = {key for key in missing if key in record}
    assert {flaw.key for flaw in in_a_list.flaws if flaw.is_stored} == shown
