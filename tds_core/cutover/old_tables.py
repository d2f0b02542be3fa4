"""Old tables: whether a mapping fits the tables, columns and types that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from tds_core.cutover.conversions import ColumnSql, ColumnType, column_sql
from tds_core.cutover.mapping import CutoverMapping, MappedColumn, MappedEntity, MappedLines, MappingError
from tds_core.cutover.sql_names import quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class OldLines:
    """The old table of a document's lines: its name, quoted, the types of its columns, and the mapped ones in SQL."""

    mapped: MappedLines
    name: str
    types: Mapping[str, ColumnType]
    columns: tuple[ColumnSql, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OldTable:
    """The old table of an entity. `types`: of all of its columns, in their order; `columns`: the mapped ones in SQL."""

    mapped: MappedEntity
    types: Mapping[str, ColumnType]
    columns: tuple[ColumnSql, ...]
    lines: OldLines | None

    @property
    def name(self) -> str:
        """Its name with its schema, quoted."""
        return quoted(self.mapped.schema, self.mapped.table)

    @property
    def compared(self) -> tuple[ColumnSql, ...]:
        """The mapped columns whose values are compared."""
        return tuple(each for each in self.columns if each.mapped.is_compared)

    @property
    def compared_names(self) -> tuple[str, ...]:
        """What a difference may be in: the compared fields, and the lines."""
        lines = (self.lines.mapped.name,) if self.lines else ()
        return (*(each.mapped.field.name for each in self.compared), *lines)


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
    there = _There(mapped.place, mapping, mapped.table, connection)
    there.check_id("key", mapped.key)
    if mapped.deleted:
        there.check("deleted", mapped.deleted)
    columns = there.columns_of(mapped.columns)
    lines = _read_lines(connection, mapping, mapped.lines) if mapped.lines else None
    return OldTable(mapped=mapped, types=there.types, columns=columns, lines=lines)


def _read_lines(connection: Connection, mapping: CutoverMapping, mapped: MappedLines) -> OldLines:
    there = _There(mapped.place, mapping, mapped.table, connection)
    there.check_id("parent", mapped.parent)
    if mapped.key:
        there.check_id("key", mapped.key)
    for setting, column in (("order_by", mapped.order_by), ("deleted", mapped.deleted)):
        if column:
            there.check(setting, column)
    name = quoted(mapping.schema, mapped.table)
    return OldLines(mapped=mapped, name=name, types=there.types, columns=there.columns_of(mapped.columns))


class _There:
    """The columns that an old table has. `place`: where the mapping speaks of it."""

    def __init__(self, place: str, mapping: CutoverMapping, table: str, connection: Connection) -> None:
        self._place, self._name = place, f"{mapping.schema}.{table}"
        params = {"schema": mapping.schema, "table": table}
        self.types: Mapping[str, ColumnType] = {
            row.name: ColumnType(
                row.type if row.is_builtin or not mapping.database_url_from else "text",
                _MOMENTS.get(row.base) or _GROUPS.get(row.category, "other"),
            )
            for row in connection.execute(_COLUMNS, params)
        }
        if not self.types:
            tables = connection.execute(_TABLES, params).scalars().all()
            known = f"Tables there: {', '.join(tables)}." if tables else (
                f"The schema {mapping.schema} holds no table at all.")  # fmt: skip
            raise MappingError(f"{place}.table: the old database has no table {self._name}. {known}")

    def check(self, setting: str, column: str) -> None:
        if column not in self.types:
            raise MappingError(f"{self._place}.{setting}: {self._name} has no column {column!r}. Columns:"
                               f" {', '.join(self.types)}.")  # fmt: skip

    def check_id(self, setting: str, column: str) -> None:
        self.check(setting, column)
        if self.types[column].sql in _INEXACT:
            raise MappingError(f"{self._place}.{setting}: {column} is {self.types[column].sql}, which rounds Zoho's"
                               " ids: no row can be told by it. Name another column.")  # fmt: skip

    def columns_of(self, mapped: Sequence[MappedColumn]) -> tuple[ColumnSql, ...]:
        for each in mapped:
            self.check(f"columns.{each.field.name}", each.column)
        return tuple(column_sql(each, self.types[each.column], place=self._place) for each in mapped)
