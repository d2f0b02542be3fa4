"""The kinds of value a source sends: how each is read, exactly, and which column keeps it.

A reader takes what JSON gave (numbers with a fraction arrive as `Decimal`) and returns the stored value,
`None` for "no value", or raises `ValueError` with a sentence a person can act on. Sources write `""` for
"no value" in every kind but text, where an empty string is a value of its own and stays one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from sqlalchemy import BigInteger, Boolean, Date, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from tds_models.base import Instant

# Beyond this a number is a fault of the sender; PostgreSQL's numeric would take it and every sum would suffer.
LARGEST_EXPONENT = 30


def read_text(value: Any) -> str:
    """Text as it came; numbers and booleans that stand where text is declared are spelled out."""
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("contains a NUL character, which PostgreSQL cannot store")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    raise ValueError(f"expected text, got {type(value).__name__}")


def read_number(value: Any) -> Decimal:
    """An exact decimal; never through a float."""
    number = value if type(value) is Decimal else Decimal(value) if type(value) is int else _spelled_number(value)
    if not number.is_finite() or not -LARGEST_EXPONENT <= number.adjusted() <= LARGEST_EXPONENT:
        raise ValueError(f"number out of range: {str(value)[:40]}")
    return number


def _spelled_number(value: Any) -> Decimal:
    if type(value) is not str:
        raise ValueError(f"expected a number, got {type(value).__name__}")
    try:
        return Decimal(value.replace(",", ""))
    except InvalidOperation:
        raise ValueError(f"expected a number, got {str(value)[:40]!r}") from None


def read_integer(value: Any) -> int:
    """A whole number."""
    number = read_number(value)
    if number != number.to_integral_value():
        raise ValueError(f"expected a whole number, got {number}")
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"number out of range: {number}")
    return int(number)


def read_boolean(value: Any) -> bool:
    """True or false, also spelled as text."""
    if isinstance(value, bool):
        return value
    spelled = str(value).lower()
    if spelled not in ("true", "false"):
        raise ValueError(f"expected true or false, got {str(value)[:40]!r}")
    return spelled == "true"


def read_date(value: Any) -> date:
    """A calendar day, `yyyy-mm-dd`."""
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected a date yyyy-mm-dd, got {str(value)[:40]!r}") from None


def read_instant(value: Any) -> datetime:
    """A moment with its zone (`2026-11-22T09:30:00+0300`), as aware UTC."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected a time with a zone, got {str(value)[:40]!r}") from None
    if moment.tzinfo is None:
        raise ValueError(f"time without a zone: {value}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time out of range: {value}") from None


def read_reference(value: Any) -> str:
    """The source id of another record: text, also when it came as a whole number."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"expected an id, got {type(value).__name__}")
    return read_text(value)


def read_json(value: Any) -> Any:
    """A nested value, kept as it is."""
    return value


def read_custom(value: Any) -> dict[str, str | bool] | None:
    """An organisation's own fields by their API names: text and booleans, numbers as their text; `None` without any.

    Sources give a value for people and one for programs (`…_unformatted`); the latter is kept.
    """
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    names = [name for name in value if not name.endswith("_unformatted")]
    chosen = {name: value.get(f"{name}_unformatted", value[name]) for name in names}
    read = {name: each if type(each) is bool else read_text(each) for name, each in chosen.items() if each is not None}
    return read or None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: its reader, its column type, that type's name in SQL.

    `as_it_is`: the type of JSON value that is stored as it stands, unless it is empty.
    """

    name: str
    read: Callable[[Any], Any]
    column: TypeEngine[Any]
    sql: str
    as_it_is: type | None = None


TEXT = Kind("text", read_text, Text(), "text", str)
NUMBER = Kind("number", read_number, Numeric(), "numeric")
INTEGER = Kind("integer", read_integer, BigInteger(), "bigint")
BOOLEAN = Kind("boolean", read_boolean, Boolean(), "boolean", bool)
DATE = Kind("date", read_date, Date(), "date")
INSTANT = Kind("instant", read_instant, Instant, "timestamptz")
REFERENCE = Kind("reference", read_reference, Text(), "text", str)
JSON = Kind("json", read_json, JSONB(), "jsonb")
CUSTOM = Kind("custom", read_custom, JSONB(), "jsonb")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One value of an entity: our name for it, the source's key, its kind and the rules it must keep.

    `least` is a rule with the severity of an error: a smaller number is not stored. `refers_to` names the
    entity whose source id this is. `personal` values never appear in logs.
    """

    name: str
    key: str
    kind: Kind
    required: bool = False
    least: Decimal | None = None
    refers_to: str | None = None
    personal: bool = False

    @cached_property
    def empty(self) -> str | None:
        """What an empty text means here."""
        return "" if self.kind is TEXT else None

    def value_of(self, raw: Any) -> Any:
        """The stored value of `raw`; raises `ValueError` naming the field."""
        if raw is None or (type(raw) is str and not raw):
            if self.required:
                raise ValueError(f"{self.key}: required, but empty")
            return None if raw is None else self.empty
        try:
            value = self.kind.read(raw)
        except ValueError as error:
            raise ValueError(f"{self.key}: {error}") from None
        if self.least is not None and value < self.least:
            raise ValueError(f"{self.key}: {value} is less than {self.least}")
        return value


#: How the values of some fields are read: our name, the source's key, the type taken as it is, the field.
Plan = tuple[tuple[str, str, type | None, Field], ...]


def plan_for(fields: tuple[Field, ...]) -> Plan:
    """The plan to read `fields` by: worked out once, for it is followed for every value of every record."""
    return tuple((field.name, field.key, field.kind.as_it_is, field) for field in fields)


def text(name: str, key: str | None = None, *, required: bool = False, personal: bool = False) -> Field:
    """Text."""
    return Field(name=name, key=key or name, kind=TEXT, required=required, personal=personal)


def number(name: str, key: str | None = None, *, least: int | None = None) -> Field:
    """Money or a quantity: an exact decimal."""
    return Field(name=name, key=key or name, kind=NUMBER, least=None if least is None else Decimal(least))


def integer(name: str, key: str | None = None) -> Field:
    """A whole number."""
    return Field(name=name, key=key or name, kind=INTEGER)


def boolean(name: str, key: str | None = None) -> Field:
    """True or false."""
    return Field(name=name, key=key or name, kind=BOOLEAN)


def on(name: str, key: str | None = None) -> Field:
    """A calendar day."""
    return Field(name=name, key=key or name, kind=DATE)


def at(name: str, key: str | None = None) -> Field:
    """A moment."""
    return Field(name=name, key=key or name, kind=INSTANT)


def refers(name: str, to: str | None, key: str | None = None, *, required: bool = False) -> Field:
    """The source id of a record of entity `to` (`None`: something TDS does not mirror)."""
    return Field(name=name, key=key or name, kind=REFERENCE, refers_to=to, required=required)


def nested(name: str, key: str | None = None, *, personal: bool = False) -> Field:
    """A nested JSON value kept whole."""
    return Field(name=name, key=key or name, kind=JSON, personal=personal)


#: Where Zoho's details keep an organisation's own fields; its list rows spread them, each under its own `cf_…` key.
CUSTOM_KEY, CUSTOM_PREFIX = "custom_field_hash", "cf_"


def custom() -> Field:
    """The organisation's own fields, as one JSON object by API name."""
    return Field(name="custom_fields", key=CUSTOM_KEY, kind=CUSTOM)
