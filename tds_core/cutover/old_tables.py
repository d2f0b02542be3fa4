"""Old tables: whether a mapping fits the tables, columns and types that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from tds_core.cutover.conversions import ColumnSql, ColumnType, column_sql
from tds_core.cutover.mapping import CutoverMapping, MappedEntity, MappingError
from tds_core.cutover.sql_names import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTable:
    """The old table of an entity. `types`: of all of its columns, in their order; `columns`: the mapped ones in SQL."""

    mapped: MappedEntity
    types: Mapping[str, ColumnType]
    columns: tuple[ColumnSql, ...]

    @property
    def name(self) -> str:
        """Its name with its schema, quoted."""
        return quoted(self.mapped.schema, self.mapped.table)

    @property
    def compared(self) -> tuple[ColumnSql, ...]:
        """The mapped columns whose values are compared."""
        return tuple(each for each in self.columns if each.mapped.is_compared)


_COLUMNS = text("""
select a.attname as name, format_type(a.atttypid, a.atttypmod) as type, format_type(a.atttypid, null) as base,
       t.typcategory as category, t.typnamespace = 'pg_catalog'::regnamespace as is_builtin
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type t on t.oid = a.atttypid
where n.nspname = :schema and c.relname = :table and c.relkind in ('r', 'p', 'v', 'm', 'f') order by a.attnum
""")
_TABLES = text("""
select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = :schema and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1 limit 40
""")
_GROUPS = {"S": "text", "E": "text", "N": "number", "B": "boolean"}
_INEXACT = ("real", "double precision")
_MOMENTS = {"date": "date", "timestamp without time zone": "naive", "timestamp with time zone": "instant"}


def read_old_tables(connection: Connection, mapping: CutoverMapping) -> list[OldTable]:
    """The old tables of a mapping as they are. Raises MappingError for a table, column or type that does not fit."""
    return [_read_table(connection, mapping, each) for each in mapping.entities.values()]


def _read_table(connection: Connection, mapping: CutoverMapping, mapped: MappedEntity) -> OldTable:
    params = {"schema": mapped.schema, "table": mapped.table}
    types = {
        row.name: ColumnType(
            row.type if row.is_builtin or not mapping.database_url_from else "text",
            _MOMENTS.get(row.base) or _GROUPS.get(row.category, "other"),
        )
        for row in connection.execute(_COLUMNS, params)
    }
    if not types:
        raise MappingError(_no_table(mapped, connection.execute(_TABLES, params).scalars().all()))
    _check_column(f"{mapped.place}.key", mapped, mapped.key, types)
    if types[mapped.key].sql in _INEXACT:
        raise MappingError(f"{mapped.place}.key: {mapped.key} is {types[mapped.key].sql}, which rounds Zoho's ids: no"
                           " row can be told by it. Name another column.")  # fmt: skip
    if mapped.deleted:
        _check_column(f"{mapped.place}.deleted", mapped, mapped.deleted, types)
    for each in mapped.columns:
        _check_column(f"{mapped.place}.columns.{each.field.name}", mapped, each.column, types)
    columns = tuple(column_sql(each, types[each.column], place=mapped.place) for each in mapped.columns)
    return OldTable(mapped=mapped, types=types, columns=columns)


def _no_table(mapped: MappedEntity, there: Sequence[str]) -> str:
    known = f"Tables there: {', '.join(there)}." if there else f"The schema {mapped.schema} holds no table at all."
    return f"{mapped.place}.table: the old database has no table {mapped.schema}.{mapped.table}. {known}"


def _check_column(place: str, mapped: MappedEntity, column: str, types: Mapping[str, ColumnType]) -> None:
    if column not in types:
        name = f"{mapped.schema}.{mapped.table}"
        raise MappingError(f"{place}: {name} has no column {column!r}. Columns: {', '.join(types)}.")
