"""The fields of a record as rows of a table: here, beside the source's side or another moment."""

from collections.abc import Mapping
from typing import Any, TypedDict

from tds_models.entities.declaration import Entity
from tds_models.entities.fields import CUSTOM, JSON, Field

#: Fields by which a person knows a record, the best first.
_LABELS = ("number", "name", "sku", "company_name", "email")
#: Columns that say most in a list, in the order in which they are taken while there is room.
_COLUMNS = (
    "number", "name", "sku", "status", "customer_name", "vendor_name", "company_name", "product_name", "total",
    "price", "stock_on_hand", "balance", "outstanding", "amount", "quantity", "currency_code", "category_name",
)  # fmt: skip
_LEAST_COLUMNS, _MOST_COLUMNS = 4, 7


class FieldRow(TypedDict):
    """One field. `other`: its value at the source or at the moment asked for; `refers_to`: the entity of its id.

    `is_shown`: whether the other side shows this field at all; `is_lines`: whether it is a document's lines.
    """

    field: str
    here: Any
    other: Any
    differs: bool
    is_shown: bool
    is_lines: bool
    refers_to: str | None


def field_rows(
    declared: Entity, row: Mapping[str, Any], *, then: Mapping[str, Any] | None, live: Mapping[str, Any] | None
) -> list[FieldRow]:
    """Every field and lines of a record; beside it the same at another moment (`then`) or at the source (`live`)."""
    differing = {each["field"]: each for each in live["differences"]} if live else {}
    is_there = live is not None and live["record"] is not None
    rows, lines = [], {each.name for each in declared.lines}
    for name, refers_to in names_of(declared):
        here = row.get(name)
        other, is_shown = here, then is not None or is_there
        if then is not None:
            other = then.get(name)
        elif name in differing:
            here, other = differing[name]["here"], differing[name]["there"]
        elif live is not None and (not is_there or name in live["not_shown"]):
            other, is_shown = None, False
        differs = name in differing or (then is not None and other != here)
        rows.append(FieldRow(
            field=name, here=here, other=other, differs=differs, is_shown=is_shown, is_lines=name in lines,
            refers_to=refers_to,
        ))  # fmt: skip
    return rows


def label_of(row: Mapping[str, Any]) -> str | None:
    """What a person knows a record by; None if nothing is known of it."""
    return next((str(row[name]) for name in _LABELS if row.get(name)), None)


def list_columns(declared: Entity) -> list[Field]:
    """The columns of a list of rows: what says most about an entity, of what is neither personal nor nested."""
    plain = {field.name: field for field in declared.fields if not field.personal and field.kind not in (JSON, CUSTOM)}
    chosen = [plain[name] for name in _COLUMNS if name in plain]
    dates = [field for field in plain.values() if field.kind.name == "date"][:1]
    rest = [field for field in plain.values() if field not in chosen and field not in dates]
    shown = chosen[: _MOST_COLUMNS - len(dates)] + dates
    return shown + rest[: max(_LEAST_COLUMNS - len(shown), 0)]


def names_of(declared: Entity) -> list[tuple[str, str | None]]:
    """The names of an entity's fields and lines, each with the entity it refers to, if it does."""
    fields: list[tuple[str, str | None]] = [(field.name, field.refers_to) for field in declared.fields]
    return [*fields, *((lines.name, None) for lines in declared.lines)]
