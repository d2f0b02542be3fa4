"""The kinds of value a source sends: how each is read, exactly, and which column keeps it.

A reader takes what JSON gave (numbers with a fraction arrive as `Decimal`) and returns the stored value or raises
`ValueError` with a sentence a person can act on. What says nothing (null, an empty or blank text; for nested values an
empty list or object as well) is read nowhere: it is no value, in every kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Boolean, Date, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from tds_models.base import Instant
from tds_models.entities.field_values import (
    CUSTOM_KEY,
    is_nothing,
    read_boolean,
    read_custom,
    read_date,
    read_discount,
    read_instant,
    read_integer,
    read_json,
    read_number,
    read_rate,
    read_reference,
    read_text,
)
from tds_models.findings import Severity


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: its reader, its column type, that type's name in SQL.

    `is_text`: a text of ordinary length that says something is stored as it stands.
    """

    name: str
    read: Callable[[Any], Any]
    column: TypeEngine[Any]
    sql: str
    is_text: bool = False


TEXT = Kind("text", read_text, Text(), "text", is_text=True)
DISCOUNT = Kind("text", read_discount, Text(), "text")
NUMBER = Kind("number", read_number, Numeric(), "numeric")
RATE = Kind("number", read_rate, Numeric(), "numeric")
INTEGER = Kind("integer", read_integer, BigInteger(), "bigint")
BOOLEAN = Kind("boolean", read_boolean, Boolean(), "boolean")
DATE = Kind("date", read_date, Date(), "date")
INSTANT = Kind("instant", read_instant, Instant, "timestamptz")
REFERENCE = Kind("reference", read_reference, Text(), "text", is_text=True)
JSON = Kind("json", read_json, JSONB(), "jsonb")
CUSTOM = Kind("custom", read_custom, JSONB(), "jsonb")


class Filter(StrEnum):
    """How rows are filtered by a field, and whether a search looks there."""

    VALUE = "value"  # the whole value, which many rows share
    CODE = "code"  # the whole value, in any case; searched by its beginning
    BEGINNING = "beginning"  # the beginning of the value, in any case; searched by it
    REFERENCE = "reference"  # the id of the record it refers to, or that record's whole name


@dataclass(frozen=True, kw_only=True)
class Field:
    """One value of an entity: our name for it, the source's key, its kind, and the rules its values should keep.

    What breaks a rule is stored all the same; the severity says how grave it is. `least`: the smallest right number.
    `required`: it should have a value. `unique`: no two living records should have the same.
    `refers_to` names the entity whose source id this is. `personal` values never appear in logs or findings.
    `identifying` ones say who a record is about: shown to everybody, and erased with the person like personal ones.

    `filtered_by`: how rows are filtered by it; such a field has an index.

    `listed`: list rows show it where it has a value. `detailed`: details do, and one without the key says "nothing".
    `older`: the key that organisations have which Zoho has not moved to `key` yet; `older_means`: what its
    true and false are called there.
    """

    name: str
    key: str
    kind: Kind
    least: Decimal | None = None
    least_severity: Severity = Severity.ERROR
    required: Severity | None = None
    unique: Severity | None = None
    refers_to: str | None = None
    personal: bool = False
    identifying: bool = False
    filtered_by: Filter | None = None
    listed: bool = True
    detailed: bool = True
    older: str | None = None
    older_means: Mapping[bool, Any] = field(default_factory=dict, hash=False)

    @property
    def filter_name(self) -> str:
        """What the filter by this field is called: its own name, of a reference without `_id`."""
        return self.name.removesuffix("_id") if self.filtered_by is Filter.REFERENCE else self.name

    def value_of(self, raw: Any) -> Any:
        """The stored value of `raw`, `None` where it says nothing; raises `ValueError` with the reason."""
        return None if is_nothing(raw) else self.kind.read(raw)

    def doubt_of(self, value: Any) -> str | None:
        """Why a stored value is doubted, if it is."""
        return f"{value} is less than {self.least}" if self.least is not None and value < self.least else None

    def reason_for(self, raw: Any, error: ValueError) -> str:
        """Why `raw` cannot be read, without its value where that is personal."""
        return f"expected {self.kind.name}, got {type(raw).__name__}" if self.personal else str(error)

    def excerpt_of(self, raw: Any) -> str | None:
        """As much of `raw` as a person needs to recognise it; none where it may be personal."""
        if self.personal or self.kind in (JSON, CUSTOM):
            return None
        return str(raw)[:40] if isinstance(raw, (str, int, Decimal)) else type(raw).__name__


#: How the values of some fields are read: our name, the source's key, whether it is plain text, the field.
Plan = tuple[tuple[str, str, bool, Field], ...]


def plan_for(fields: tuple[Field, ...]) -> Plan:
    """The plan to read `fields` by: worked out once, for it is followed for every value of every record."""
    return tuple((each.name, each.key, each.kind.is_text, each) for each in fields)


def text(name: str, key: str | None = None, *, personal: bool = False) -> Field:
    """Text."""
    return Field(name=name, key=key or name, kind=TEXT, personal=personal)


def discount(name: str, key: str | None = None) -> Field:
    """A discount: an amount, or a share of a hundred with its sign, kept as text."""
    return Field(name=name, key=key or name, kind=DISCOUNT)


def number(
    name: str, key: str | None = None, *, least: int | None = None, severity: Severity = Severity.ERROR
) -> Field:
    """Money or a quantity: an exact decimal; `severity` of one that is smaller than `least`."""
    smallest = None if least is None else Decimal(least)
    return Field(name=name, key=key or name, kind=NUMBER, least=smallest, least_severity=severity)


def percentage(name: str, key: str | None = None) -> Field:
    """A share of a hundred: an exact decimal, also where the source spells it with its sign."""
    return Field(name=name, key=key or name, kind=RATE)


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


def refers(name: str, to: str | None, key: str | None = None) -> Field:
    """The source id of a record of entity `to` (`None`: something TDS does not mirror)."""
    return Field(name=name, key=key or name, kind=REFERENCE, refers_to=to)


def nested(name: str, key: str | None = None, *, personal: bool = False) -> Field:
    """A nested JSON value kept whole."""
    return Field(name=name, key=key or name, kind=JSON, personal=personal)


def custom() -> Field:
    """The organisation's own fields, as one JSON object by API name."""
    return Field(name="custom_fields", key=CUSTOM_KEY, kind=CUSTOM)
