"""Keyset pagination: pages of a list with a cursor to the next one that stays valid while rows come and go."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.orm import Session

from tds_core.errors import InvalidCursorError

#: A row whose columns depend on the entity.
Row = dict[str, Any]
RowT = TypeVar("RowT")

LARGEST_PAGE = 500


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """Rows of a list, and the cursor of the next page; None on the last page."""

    items: list[RowT]
    next_cursor: str | None


def read_page(
    session: Session,
    statement: Select[Any],
    *,
    keys: Sequence[ColumnElement[Any]],
    cursor: str | None,
    limit: int,
    newest_first: bool = True,
) -> Page[Any]:
    """The page of `statement` after `cursor`, in the order of `keys`, which must be unique columns of it.

    Its rows are dicts of the selected columns; the caller states their type. `limit`: rows, at most LARGEST_PAGE.
    Raises `InvalidCursorError`.
    """
    size = min(limit, LARGEST_PAGE)
    if cursor is not None:
        last = tuple_(*_values_in(cursor, keys))
        statement = statement.where(tuple_(*keys) < last if newest_first else tuple_(*keys) > last)
    ordered = statement.order_by(*(key.desc() if newest_first else key.asc() for key in keys)).limit(size + 1)
    rows = [dict(row) for row in session.execute(ordered).mappings()]
    more = len(rows) > size
    return Page(rows[:size], _cursor_at(rows[size - 1], keys) if more else None)


def _cursor_at(row: Row, keys: Sequence[ColumnElement[Any]]) -> str:
    return encode_cursor([row[str(key.key)] for key in keys])


def encode_cursor(values: Any) -> str:
    """The cursor that carries `values` (JSON, base64url)."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def decode_cursor(cursor: str, kind: Any = Any) -> Any:
    """The values a cursor carries, as type `kind`. Raises `InvalidCursorError`."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=kind)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidCursorError("The cursor is not one TDS gave out.") from None


def _values_in(cursor: str, keys: Sequence[ColumnElement[Any]]) -> list[Any]:
    values = decode_cursor(cursor, tuple[tuple(key.type.python_type for key in keys)])  # type: ignore[misc]
    if any(isinstance(value, int) and abs(value) >= 2**63 for value in values):
        raise InvalidCursorError("The cursor belongs to another list.")
    if any(isinstance(value, str) and "\x00" in value for value in values):
        raise InvalidCursorError("The cursor is not one TDS gave out.")
    try:
        return [value.astimezone(UTC) if isinstance(value, datetime) else value for value in values]
    except (OverflowError, ValueError):
        raise InvalidCursorError("The cursor is not one TDS gave out.") from None
