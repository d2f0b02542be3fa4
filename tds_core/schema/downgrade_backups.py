"""Downgrades of the schema without loss: rows and columns a downgrade removes are backed up, and restored by upgrades.

Losses are found by comparing the schema before and after a trial run of the downgrade, so that no migration declares
them. Backups stand in a schema of their own and are made in the transaction of the downgrade.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

log = structlog.get_logger(__name__)

ASIDE = "tds_set_aside"
_SCHEMAS = ("public", "erp")

Columns = frozenset[str]


@dataclass(frozen=True, slots=True)
class SchemaShape:
    """The columns of each table, and the free-standing sequences, by their full names."""

    tables: Mapping[str, Columns]
    sequences: frozenset[str]


@dataclass(frozen=True, slots=True)
class Loss:
    """A table, or `columns` of one, that a downgrade removes, and the number of rows with data in it."""

    table: str
    row_count: int
    columns: Sequence[str] = ()

    def __str__(self) -> str:
        what = f"{self.table} ({', '.join(self.columns)})" if self.columns else self.table
        return f"{what}: {self.row_count} rows"


_TABLES = text("""
select c.relname as name, n.nspname as schema, array_agg(a.attname::text) as columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where n.nspname = any(:schemas) and c.relkind in ('r', 'p') and not c.relispartition
  and c.relname <> 'alembic_version' group by 1, 2 order by 2, 1
""")
_SEQUENCES = text("""
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(:schemas) and c.relkind = 'S' and not exists (
    select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0)
""")


def shape_of(connection: Connection, schemas: Collection[str] = _SCHEMAS) -> SchemaShape:
    """Read the shape of `schemas`."""
    params = {"schemas": list(schemas)}
    tables = {f"{row.schema}.{row.name}": frozenset(row.columns) for row in connection.execute(_TABLES, params)}
    return SchemaShape(tables, frozenset(connection.execute(_SEQUENCES, params).scalars()))


def losses(connection: Connection, before: SchemaShape, after: SchemaShape) -> list[Loss]:
    """The losses of a downgrade from `before` (the present schema) to `after`; empty tables and columns are none."""
    result = []
    for table, columns in before.tables.items():
        gone = sorted(columns - after.tables.get(table, frozenset()))
        if not gone:
            continue
        columns_lost = () if table not in after.tables else tuple(gone)
        condition = " or ".join(f"{_quoted(each)} is not null" for each in columns_lost) or "true"
        count = connection.execute(text(f"select count(*) from {_full(table)} where {condition}")).scalar_one()
        result += [Loss(table, count, columns_lost)] if count else []
    return result


def set_aside(connection: Connection, lost: Sequence[Loss], before: SchemaShape, after: SchemaShape) -> None:
    """Back up what is lost, and the positions of removed sequences, until `restore`."""
    if not lost:
        return
    connection.execute(text(f"create schema if not exists {ASIDE}"))
    number = 1 + max((each.number for each in _backups(connection)), default=0)
    for each in lost:
        backup = TableBackup(each.table, number, is_whole=not each.columns)
        columns = "*"
        if each.columns:
            columns = ", ".join(map(_quoted, dict.fromkeys([*_key(connection, each.table), *each.columns])))
        connection.execute(text(f"create table {backup.place} as select {columns} from {_full(each.table)}"))
    for sequence in sorted(before.sequences - after.sequences):
        backup = TableBackup(sequence, number, is_whole=True)
        connection.execute(text(f"create table {backup.place} as select last_value from {_full(sequence)}"))


@dataclass(frozen=True, slots=True)
class TableBackup:
    """The backup of a table or sequence, or of some columns, made by the downgrade of this number."""

    table: str
    number: int
    is_whole: bool

    @property
    def place(self) -> str:
        """The full name of the backup table."""
        return f'{ASIDE}."{self.table}#{self.number}{"" if self.is_whole else "#columns"}"'


def _backups(connection: Connection) -> list[TableBackup]:
    names = [place.removeprefix(f"{ASIDE}.").split("#") for place in shape_of(connection, [ASIDE]).tables]
    return [TableBackup(table, int(number), is_whole=not more) for table, number, *more in names]


def restore(connection: Connection, order: Sequence[str]) -> list[str]:
    """Restore the backups whose tables or columns exist again. Returns the names of restored tables.

    The newest backup comes first, and within one parents before children (`order`, full names). A backup that cannot be
    restored stays, with a line in the log.
    """
    backups, now = _backups(connection), shape_of(connection)
    rank = {name: number for number, name in enumerate(order)}
    restored = []
    for each in sorted(backups, key=lambda each: (-each.number, rank.get(each.table, len(rank)), each.table)):
        if each.table not in now.tables and each.table not in now.sequences:
            continue
        attempt = connection.begin_nested()
        try:
            is_restored = _restore_backup(connection, each, now)
        except DBAPIError as error:
            attempt.rollback()
            log.warning("rows_not_restored", table=each.table, error=str(error.orig).splitlines()[0][:200])
            continue
        attempt.commit()
        restored += [each.table] if is_restored and each.table in now.tables else []
    if backups and not _backups(connection):
        connection.execute(text(f"drop schema {ASIDE}"))
    return list(dict.fromkeys(restored))


def _restore_backup(connection: Connection, backup: TableBackup, now: SchemaShape) -> bool:
    if backup.table in now.sequences:
        stood = f"(select last_value from {backup.place})"
        full = _full(backup.table)
        connection.execute(text(f"select setval('{full}', greatest({stood}, last_value)) from {full}"))
        connection.execute(text(f"drop table {backup.place}"))
        return True
    target, key = _full(backup.table), _key(connection, backup.table)
    columns = shape_of(connection, [ASIDE]).tables[backup.place.replace('"', "")]
    fit = columns & now.tables[backup.table]
    values = sorted(fit - set(key))
    if not values and not backup.is_whole:
        return False
    # Triggers of append-only tables refuse updates and deletes.
    connection.execute(text(f"alter table {target} disable trigger user"))
    if backup.is_whole:
        _insert(connection, backup, sorted(fit))
    else:
        same = " and ".join(f"t.{_quoted(each)} = s.{_quoted(each)}" for each in key)
        changes = ", ".join(f"{_quoted(each)} = s.{_quoted(each)}" for each in values)
        connection.execute(text(f"update {target} t set {changes} from {backup.place} s where {same}"))
    connection.execute(text(f"alter table {target} enable trigger user"))
    if columns == fit:
        connection.execute(text(f"drop table {backup.place}"))
        return True
    # The remaining columns exist again only in a later revision.
    for each in values:
        connection.execute(text(f"alter table {backup.place} drop column {_quoted(each)}"))
    if backup.is_whole:
        rest = TableBackup(backup.table, backup.number, is_whole=False).place.removeprefix(f"{ASIDE}.")
        connection.execute(text(f"alter table {backup.place} rename to {rest}"))
    return True


def _insert(connection: Connection, backup: TableBackup, columns: Sequence[str]) -> None:
    target, names = _full(backup.table), ", ".join(map(_quoted, columns))
    connection.execute(text(f"delete from {target}"))  # rows the upgrade itself wrote
    connection.execute(
        text(f"insert into {target} ({names}) overriding system value select {names} from {backup.place}")
    )
    for column in columns:
        _advance_sequence(connection, target, column)


def _advance_sequence(connection: Connection, target: str, column: str) -> None:
    params = {"target": target, "column": column}
    sequence = connection.execute(text("select pg_get_serial_sequence(:target, :column)"), params).scalar()
    if sequence:
        most = f"select max({_quoted(column)}) from {target}"
        connection.execute(text(f"select setval('{sequence}', most) from ({most}) as m(most) where most is not null"))


_KEY = text("""
select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
where i.indrelid = cast(:table as regclass) and i.indisprimary order by a.attnum
""")


def _key(connection: Connection, table: str) -> list[str]:
    return list(connection.execute(_KEY, {"table": _full(table)}).scalars())


def _full(name: str) -> str:
    schema, _, table = name.partition(".")
    return f"{_quoted(schema)}.{_quoted(table)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
