"""Each kind of value: what it reads, what "no value" is, and what it refuses with a reason."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_models.entities import field_values, fields
from tds_models.entities.fields import (
    BOOLEAN,
    CUSTOM,
    DATE,
    DISCOUNT,
    INSTANT,
    INTEGER,
    JSON,
    NUMBER,
    RATE,
    REFERENCE,
    TEXT,
    Kind,
)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (TEXT, "a", "a"),
        (TEXT, 5, "5"),
        (TEXT, True, "true"),
        (TEXT, Decimal("1.50"), "1.5"),
        (TEXT, Decimal("1E+2"), "100"),
        (TEXT, Decimal("12345678901234567890.1234567890"), "12345678901234567890.123456789"),
        (TEXT, Decimal("0.00"), "0"),
        (TEXT, "1.50", "1.50"),
        (DISCOUNT, Decimal("10.00"), "10"),
        (DISCOUNT, 10, "10"),
        (DISCOUNT, "10.0", "10"),
        (DISCOUNT, "1,250.50", "1250.5"),
        (DISCOUNT, " 5.0 % ", "5%"),
        (DISCOUNT, "9,99", "9,99"),
        (DISCOUNT, "two for one", "two for one"),
        (NUMBER, "1,234.50", Decimal("1234.50")),
        (NUMBER, "-1,234,567.5", Decimal("-1234567.5")),
        (NUMBER, "1,234,567", Decimal(1234567)),
        (NUMBER, " 12.5 ", Decimal("12.5")),
        (NUMBER, "1e3", Decimal(1000)),
        (RATE, "70%", Decimal(70)),
        (RATE, "5.25 %", Decimal("5.25")),
        (RATE, 15, Decimal(15)),
        (NUMBER, 0, Decimal(0)),
        (NUMBER, Decimal("0E-10"), Decimal(0)),
        (INTEGER, "30", 30),
        (INTEGER, Decimal("30.0"), 30),
        (BOOLEAN, "True", True),
        (BOOLEAN, False, False),
        (BOOLEAN, 1, True),
        (BOOLEAN, 0, False),
        (BOOLEAN, Decimal("0.0"), False),
        (BOOLEAN, "1", True),
        (DATE, "2026-02-28", date(2026, 2, 28)),
        (DATE, "2026-02-28T23:30:00+0300", date(2026, 2, 28)),
        (DATE, "2026-02-28 10:00:00", date(2026, 2, 28)),
        (DATE, "2026-02-28T00:00:00Z", date(2026, 2, 28)),
        (INSTANT, "2026-02-28T23:30:00-0200", datetime(2026, 3, 1, 1, 30, tzinfo=UTC)),
        (REFERENCE, 9223372036854775807, "9223372036854775807"),
    ],
)
def test_a_value_is_read_as_its_kind(kind: Kind, raw: Any, value: Any) -> None:
    assert kind.read(raw) == value


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (TEXT, "a\x00b"),
        (TEXT, ["a"]),
        (TEXT, {}),
        (TEXT, Decimal("1E+400")),
        (NUMBER, True),
        (NUMBER, "ten"),
        (NUMBER, "9,99"),
        (NUMBER, "12,5"),
        (NUMBER, "1,234"),  # in half of the world a little more than one
        (NUMBER, "1.234,56"),
        (NUMBER, "12,34,567.5"),
        (NUMBER, "1,2345.0"),
        (NUMBER, "1,234.567,8"),
        (NUMBER, "1_000"),
        (NUMBER, "\u0669\u0669"),
        (NUMBER, "5%"),
        (NUMBER, "IQD 12"),
        (NUMBER, "NaN"),
        (NUMBER, "0." + "3" * 101),
        (RATE, "%"),
        (RATE, "5,5%"),
        (NUMBER, "1e99"),
        (NUMBER, [1]),
        (INTEGER, "1.5"),
        (INTEGER, "9223372036854775808"),
        (BOOLEAN, "yes"),
        (BOOLEAN, 2),
        (BOOLEAN, []),
        (DATE, "28.02.2026"),
        (DATE, "2026-02-30"),
        (DATE, 20260228),
        (DATE, "20260228"),
        (DATE, "2026-W09-6"),
        (DATE, "2026-02-28 or so"),
        (DATE, "2026-02-28T23:30:00Z"),  # the next day where the organisation is
        (INSTANT, "2026-02-28T10:00:00"),
        (INSTANT, "soon"),
        (INSTANT, "2026-02-28"),
        (INSTANT, "0001-01-01T00:00:00+0300"),
        (REFERENCE, True),
        (REFERENCE, Decimal("1.5")),
        (REFERENCE, "7" * 201),
    ],
)
def test_what_a_kind_cannot_be_is_refused_with_a_reason(kind: Kind, raw: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|contains|without|out of range"):
        kind.read(raw)


EVERY_KIND = (TEXT, DISCOUNT, NUMBER, RATE, INTEGER, BOOLEAN, DATE, INSTANT, REFERENCE, JSON, CUSTOM)


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("nothing", [None, "", " ", "\t \n", "\u00a0"])
def test_what_says_nothing_is_no_value_in_every_kind(kind: Kind, nothing: Any) -> None:
    assert fields.Field(name="a", key="a", kind=kind).value_of(nothing) is None


@pytest.mark.parametrize("kind", [JSON, CUSTOM])
@pytest.mark.parametrize("nothing", [[], {}])
def test_a_nested_value_without_anything_in_it_is_none(kind: Kind, nothing: Any) -> None:
    assert kind.read(nothing) is None


def test_a_number_below_its_least_is_kept_and_doubted_and_the_least_is_not() -> None:
    price = fields.number("price", "rate", least=0)
    assert price.value_of("-0.01") == Decimal("-0.01")
    assert price.doubt_of(Decimal("-0.01")) == "-0.01 is less than 0"
    assert price.doubt_of(Decimal(0)) is None


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ({"cf_a": "x", "cf_b": True, "cf_c": None, "cf_d": "", "cf_e": " "}, {"cf_a": "x", "cf_b": True}),
        ({"cf_a": "IQD 1,250.50", "cf_a_unformatted": Decimal("1250.50")}, {"cf_a": Decimal("1250.50")}),
        ({"cf_a": "a, b", "cf_a_unformatted": ["a", "b"]}, {"cf_a": ["a", "b"]}),
        ({"cf_a": ["a", "b"]}, {"cf_a": ["a", "b"]}),
        ({"cf_a": "ACME", "cf_a_unformatted": {"id": "1"}}, {"cf_a": {"id": "1"}}),
        ({"cf_a": "x", "cf_a_unformatted": ""}, {"cf_a": "x"}),
        ({"cf_a_unformatted": 7}, {"cf_a": 7}),
        ({"cf_a": [], "cf_b": {}}, None),
    ],
)
def test_an_organisations_own_fields_are_kept_in_every_shape(given_: Any, kept: Any) -> None:
    assert field_values.read_custom(given_) == kept


def test_an_own_field_that_cannot_be_kept_costs_no_other() -> None:
    with pytest.raises(field_values.PartlyUnreadableError, match="cf_a: number out of range") as caught:
        field_values.read_custom({"cf_a": Decimal("1E+90"), "cf_b": 1})
    assert caught.value.rest == {"cf_b": 1}


def test_own_fields_given_as_a_list_have_their_api_names() -> None:
    listed = [
        {"api_name": "cf_colour", "label": "Colour", "value": "red"},
        {"placeholder": "cf_size", "label": "Size", "value": "9 kg", "value_unformatted": 9},
        {"label": "Batch No. ", "value": ["a"]},
        None,
    ]
    found = field_values.read_custom(field_values.custom_of_list(listed))
    assert found == {"cf_colour": "red", "cf_size": 9, "cf_batch_no": ["a"]}


def test_own_fields_of_one_label_are_all_kept() -> None:
    listed = [
        {"customfield_id": "7", "label": "Colour", "value": "red"},
        {"customfield_id": "8", "label": "colour", "value": "blue"},
        {"customfield_id": "9", "label": "COLOUR", "value": ""},
    ]
    assert field_values.read_custom(field_values.custom_of_list(listed)) == {"cf_colour": "red", "cf_colour_8": "blue"}


@pytest.mark.parametrize("odd", [["x"], [{"value": 1}], [{"label": "a", "value": 1}, {"label": "A", "value": 2}]])
def test_own_fields_without_a_name_are_reported(odd: Any) -> None:
    with pytest.raises(ValueError, match="without a name"):
        field_values.read_custom(field_values.custom_of_list(odd))


def test_a_personal_value_is_in_no_reason_and_no_excerpt() -> None:
    mail = fields.text("email", personal=True)
    assert mail.excerpt_of("me@example.com") is None
    assert mail.reason_for(["me@example.com"], ValueError("me@example.com")) == "expected text, got list"


@given(st.decimals(min_value=-(10**20), max_value=10**20, places=6))
def test_any_amount_comes_back_to_the_last_digit(amount: Decimal) -> None:
    assert field_values.read_number(str(amount)) == amount


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))
def test_any_moment_stays_the_same_moment(moment: datetime) -> None:
    read = field_values.read_instant(moment.isoformat())
    assert read.utcoffset() == datetime.now(UTC).utcoffset()
    assert read == datetime.fromisoformat(moment.isoformat())
