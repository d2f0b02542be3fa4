"""Expected mirror rows for records of the stand-in: columns, their keys in the record, and how values are read.

This shares no code with the sync on purpose: a mistake would have to be made twice to go unnoticed.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

Record = Mapping[str, Any]
Reader = Callable[[Any], Any]
Columns = Mapping[str, tuple[str, Reader]]


def text(value: Any) -> str | None:
    """Text; an empty one is none."""
    return str(value) if value not in (None, "") else None


def share(value: Any) -> str | None:
    """A discount: text, without the noughts behind a number's last digit."""
    if value in (None, "") or isinstance(value, str):
        return value or None
    whole, _, part = f"{Decimal(value):f}".partition(".")
    return f"{whole}.{part.rstrip('0')}".rstrip(".")


def amount(value: Any) -> Decimal | None:
    """An exact number."""
    return None if value in (None, "") else Decimal(str(value))


def whole(value: Any) -> int | None:
    """A whole number."""
    return None if value in (None, "") else int(value)


def reference(value: Any) -> str | None:
    """The id of another record."""
    return str(value) if value else None


def flag(value: Any) -> bool | None:
    """Yes or no."""
    return {True: True, False: False, "true": True, "false": False}.get(value)


def day(value: Any) -> date | None:
    """A day."""
    return date.fromisoformat(value) if value else None


def moment(value: Any) -> datetime | None:
    """A moment, in UTC."""
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC) if value else None


def nested(value: Any) -> Any:
    """A nested value, its numbers as the driver of the mirror's side reads them."""
    return json.loads(json.dumps(value, default=float)) if value else None


def custom_fields_of(value: Any) -> dict[str, Any] | None:
    """The organisation's own fields as programs spell them."""
    names = [name for name in value or () if not name.endswith("_unformatted")]
    return nested({name: value[f"{name}_unformatted"] for name in names if value[name] not in (None, "")})


def same(reader: Reader, *names: str) -> dict[str, tuple[str, Reader]]:
    """Columns called like their keys."""
    return {name: (name, reader) for name in names}


CUSTOM_FIELDS: Columns = {"custom_fields": ("custom_field_hash", custom_fields_of)}
STAMPS: Columns = {
    "source_created_at": ("created_time", moment),
    "source_modified_at": ("last_modified_time", moment),
}


def read(columns: Columns, record: Record) -> dict[str, Any]:
    """What `columns` must hold for a record, or for a part of one."""
    return {column: reader(record.get(key)) for column, (key, reader) in columns.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """A table of a record's parts: its key in the record, and what its columns must say."""

    table: str
    key: str
    columns: Columns

    def rows(self, record: Record) -> list[dict[str, Any]]:
        """The rows that `record` must have, in their order."""
        return [read(self.columns, part) for part in record.get(self.key, ())]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
    """One mirror table and those of its parts: which records of the stand-in belong in it, and where they are read.

    `single`: the path under which the API shows one record, and the key it is under.
    """

    entity: str
    plural: str
    id_key: str
    columns: Columns
    single: tuple[str, str]
    parts: tuple[Parts, ...] = ()
    belongs: Callable[[Record], bool] = lambda _record: True

    @property
    def table(self) -> str:
        """The mirror table."""
        return f"erp.{self.entity}"

    def row(self, record: Record) -> dict[str, Any]:
        """The columns of the row that `record` must have."""
        return read(self.columns, record)
