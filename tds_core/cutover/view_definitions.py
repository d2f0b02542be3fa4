"""View definitions: the mirror under an old table's name, with its columns, their order and their types."""

from tds_core.cutover.conversions import ColumnType
from tds_core.cutover.differences import within
from tds_core.cutover.old_tables import OldTable
from tds_core.cutover.sql_names import literal, quoted


def view_sql(table: OldTable, *, old_rows: str | None) -> str:
    """The query of the view that takes an old table's place.

    `old_rows`: the table's new name, from which columns come that are not Zoho's; without it they are null. The view
    cannot be written to: an old job that was forgotten fails, instead of changing the mirror.
    """
    mapped = table.mapped
    own = [name for name in table.types if old_rows and name in own_columns(table)]
    columns = ", ".join(f"{_value(table, name, own)} as {quoted(name)}" for name in table.types)
    beside = f"\n    left join lateral ({_own_row(table, old_rows or '')}) o on true" if own else ""
    return f"""select {columns}
    from {mapped.entity.table.fullname} m cross join (values (true)) as reading (is_all){beside}
    where m.source = {literal(mapped.entity.stream.source)} and m.deleted_at is null and {within(table, "m")}"""


def own_columns(table: OldTable) -> list[str]:
    """The columns of an old table that hold nothing of Zoho's: its own numbers, and what programs noted there."""
    mapped = {each.mapped.column for each in table.columns} | {table.mapped.key, table.mapped.deleted}
    return [name for name in table.types if name not in mapped]


def _value(table: OldTable, name: str, own: list[str]) -> str:
    column_type = table.types[name]
    if name == table.mapped.key:
        return f"({_key_value(column_type)})::{column_type.sql}"
    if name in own:
        return f"o.{quoted(name)}"
    for each in table.columns:
        if each.mapped.column == name:
            return each.theirs("m." + quoted(each.mapped.field.name))
    if name == table.mapped.deleted and column_type.group in ("boolean", "number"):
        return f"(false)::integer::{column_type.sql}" if column_type.group == "number" else "false"
    return f"null::{column_type.sql}"


def _key_value(column_type: ColumnType) -> str:
    if column_type.group == "number":
        return (
            r"case when m.source_id ~ '^\d{1,18}$' or m.source_id ~ '^\d{19}$'"
            " and m.source_id collate \"C\" <= '9223372036854775807' then m.source_id::bigint end"
        )
    return "m.source_id"


def _own_row(table: OldTable, old_rows: str) -> str:
    """The old row of a record; of copies the newest."""
    key = table.mapped.key
    modified = [each.mapped.column for each in table.columns if not each.mapped.is_compared]
    newest = f" order by x.{quoted(modified[0])} desc nulls last" if modified else ""
    value = f"({_key_value(table.types[key])})::{table.types[key].sql}"
    return f"select x.* from {old_rows} x where x.{quoted(key)} = {value}{newest} limit 1"
