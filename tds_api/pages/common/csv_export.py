"""CSV of a page's rows: nested values as JSON, and nothing that a spreadsheet would run as a formula."""

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

import msgspec

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_of(rows: Iterable[Any]) -> str:
    """The rows as CSV with a header; columns in the order they are first met."""
    flat = [row if isinstance(row, Mapping) else {"value": row} for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    target = StringIO()
    writer = csv.writer(target)
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in flat)
    return target.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | dict | list):
        return msgspec.json.encode(value).decode()
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip() == text
