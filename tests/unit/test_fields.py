"""Each kind of value: what it reads, what "no value" is, and what it refuses with a reason."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_models import fields
from tds_models.fields import BOOLEAN, DATE, INSTANT, INTEGER, NUMBER, REFERENCE, TEXT, Kind


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (TEXT, "a", "a"),
        (TEXT, 5, "5"),
        (TEXT, True, "true"),
        (TEXT, Decimal("1.50"), "1.50"),
        (NUMBER, "1,234.50", Decimal("1234.50")),
        (NUMBER, 0, Decimal(0)),
        (NUMBER, Decimal("0E-10"), Decimal(0)),
        (INTEGER, "30", 30),
        (INTEGER, Decimal("30.0"), 30),
        (BOOLEAN, "True", True),
        (BOOLEAN, False, False),
        (DATE, "2026-02-28", date(2026, 2, 28)),
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
        (NUMBER, True),
        (NUMBER, "ten"),
        (NUMBER, "1e99"),
        (NUMBER, [1]),
        (INTEGER, "1.5"),
        (INTEGER, "9223372036854775808"),
        (BOOLEAN, "yes"),
        (BOOLEAN, 1),
        (DATE, "28.02.2026"),
        (DATE, "2026-02-30"),
        (DATE, 20260228),
        (INSTANT, "2026-02-28T10:00:00"),
        (INSTANT, "soon"),
        (INSTANT, "0001-01-01T00:00:00+0300"),
        (REFERENCE, True),
        (REFERENCE, Decimal("1.5")),
    ],
)
def test_what_a_kind_cannot_be_is_refused_with_a_reason(kind: Kind, raw: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|contains|without|out of range"):
        kind.read(raw)


def test_an_empty_text_is_no_value_except_for_text() -> None:
    assert fields.text("a").value_of("") == ""
    for field in (fields.number("a"), fields.integer("a"), fields.boolean("a"), fields.on("a"), fields.at("a")):
        assert field.value_of("") is None
    assert fields.refers("a", to=None).value_of("") is None


@pytest.mark.parametrize("field", [fields.text("a", required=True), fields.refers("a", to=None, required=True)])
def test_a_required_field_must_say_something(field: fields.Field) -> None:
    for nothing in (None, ""):
        with pytest.raises(ValueError, match="a: required, but empty"):
            field.value_of(nothing)


def test_a_number_below_its_least_is_refused_and_the_least_is_not() -> None:
    price = fields.number("price", "rate", least=0)
    assert price.value_of("0") == 0
    with pytest.raises(ValueError, match=r"rate: -0.01 is less than 0"):
        price.value_of("-0.01")


@given(st.decimals(min_value=-(10**20), max_value=10**20, places=6))
def test_any_amount_comes_back_to_the_last_digit(amount: Decimal) -> None:
    assert fields.read_number(str(amount)) == amount


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))
def test_any_moment_stays_the_same_moment(moment: datetime) -> None:
    read = fields.read_instant(moment.isoformat())
    assert read.utcoffset() == datetime.now(UTC).utcoffset()
    assert read == datetime.fromisoformat(moment.isoformat())
