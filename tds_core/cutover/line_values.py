"""Lines of a document as one value: a JSON array in their order, made alike of the old rows, of ours and of Zoho's."""

from collections.abc import Callable

from tds_core.cutover.conversions import ColumnSql, is_living, key_sql
from tds_core.cutover.old_tables import OldLines
from tds_core.cutover.sql_names import quoted

#: The type of the value, in SQL.
KIND = "jsonb"
NONE = "'[]'::jsonb"


def old_lines(lines: OldLines) -> str:
    """The query of an old table's lines by document: `parent_id`, and the value."""
    mapped = lines.mapped
    line_id = key_sql(f"l.{quoted(mapped.key)}", lines.types[mapped.key].group) if mapped.key else ""
    order = f'{line_id} collate "C"' if line_id else f"l.{quoted(mapped.order_by or '')}"
    value = _value(lines, line_id, lambda each: each.ours("l." + quoted(each.mapped.column)), order)
    deleted = mapped.deleted
    living = is_living(f"l.{quoted(deleted)}", lines.types[deleted].group, mapped.deleted_is) if deleted else "true"
    parent = key_sql(f"l.{quoted(mapped.parent)}", lines.types[mapped.parent].group)
    return f"select {parent} as parent_id, {value} as value from {lines.name} l where {living} group by 1"


def our_lines(lines: OldLines, alias: str) -> str:
    """The value of a row of the mirror, as the old table would hold its lines."""
    rows = f"{lines.mapped.here} l where l.source = {alias}.source and l.parent_id = {alias}.source_id"
    return f"coalesce((select {_mirrored(lines)} from {rows}), {NONE})"


def read_lines(lines: OldLines, value: str) -> str:
    """The value of lines as they were read from the source: a JSON array of objects."""
    declared = "".join(f", {quoted(each.mapped.field.name)} {each.mapped.field.kind.sql}" for each in lines.columns)
    rows = f"jsonb_to_recordset({value}) as l (position integer, line_id text{declared})"
    return f"coalesce((select {_mirrored(lines)} from {rows}), {NONE})"


def _mirrored(lines: OldLines) -> str:
    is_keyed = lines.mapped.key is not None
    order = 'l.line_id collate "C"' if is_keyed else "l.position"
    trip: Callable[[ColumnSql], str] = lambda each: each.round_trip("l." + quoted(each.mapped.field.name))  # noqa: E731
    return _value(lines, "l.line_id" if is_keyed else "", trip, order)


def _value(lines: OldLines, line_id: str, value_of: Callable[[ColumnSql], str], order: str) -> str:
    values = [*([line_id] if line_id else []), *(value_of(each) for each in lines.columns)]
    return f"jsonb_agg(jsonb_build_array({', '.join(values)}) order by {order})"
