"""Pages of a list: marks that say where the next page begins, good however many rows come and go between."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.orm import Session

from tds_core.errors import InvalidCursorError

Row = dict[str, Any]

LARGEST_PAGE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, and the mark of the next page; None when this is the last."""

    items: list[Row]
    next_cursor: str | None


def read_page(
    session: Session,
    statement: Select[Any],
    *,
    keys: Sequence[ColumnElement[Any]],
    cursor: str | None,
    limit: int,
    newest_first: bool = True,
) -> Page:
    """The page of `statement` behind `cursor`, in the order of `keys`, which must be among its columns and unique.

    Raises InvalidCursorError for a cursor that is none.
    """
    size = min(limit, LARGEST_PAGE)
    if cursor is not None:
        mark = tuple_(*_values_in(cursor, keys))
        statement = statement.where(tuple_(*keys) < mark if newest_first else tuple_(*keys) > mark)
    ordered = statement.order_by(*(key.desc() if newest_first else key.asc() for key in keys)).limit(size + 1)
    rows = [dict(row) for row in session.execute(ordered).mappings()]
    more = len(rows) > size
    return Page(rows[:size], _cursor_at(rows[size - 1], keys) if more else None)


def _cursor_at(row: Row, keys: Sequence[ColumnElement[Any]]) -> str:
    return written([row[str(key.key)] for key in keys])


def written(mark: Any) -> str:
    """A mark of a page, as those who page carry it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(mark)).decode().rstrip("=")


def read_mark(cursor: str, kind: Any = Any) -> Any:
    """The mark a cursor carries, of a type. Raises InvalidCursorError."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=kind)
    except (UnicodeEncodeError, binascii.Error, msgspec.MsgspecError, UnicodeDecodeError):
        raise InvalidCursorError("The cursor is not one TDS gave out.") from None


def _values_in(cursor: str, keys: Sequence[ColumnElement[Any]]) -> list[Any]:
    values = read_mark(cursor, tuple[tuple(key.type.python_type for key in keys)])  # type: ignore[misc]
    if any(isinstance(value, int) and abs(value) >= 2**63 for value in values):
        raise InvalidCursorError("The cursor belongs to another list.")
    if any(isinstance(value, str) and "\x00" in value for value in values):
        raise InvalidCursorError("The cursor is not one TDS gave out.")
    try:
        return [value.astimezone(UTC) if isinstance(value, datetime) else value for value in values]
    except (OverflowError, ValueError):
        raise InvalidCursorError("The cursor is not one TDS gave out.") from None
