"""Downgrades: what a step back in the schema loses is told first, set aside, and put back by the step forward.

What is lost is what is there before the step and not after it, so the step is tried and taken back; nobody has to
declare it. Rows are set aside in a schema of their own, in the transaction of the step.
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
class Shape:
    """The columns of each table of ours, and the sequences that stand by themselves, by their full names."""

    tables: Mapping[str, Columns]
    sequences: frozenset[str]


@dataclass(frozen=True, slots=True)
class Loss:
    """A table that goes, or (`columns`) what goes of one, and how many rows say something there."""

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
where n.nspname = any(:schemas) and c.relkind = 'r' and c.relname <> 'alembic_version' group by 1, 2 order by 2, 1
""")
_SEQUENCES = text("""
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any(:schemas) and c.relkind = 'S' and not exists (
    select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0)
""")


def shape_of(connection: Connection, schemas: Collection[str] = _SCHEMAS) -> Shape:
    """What tables there are."""
    params = {"schemas": list(schemas)}
    tables = {f"{row.schema}.{row.name}": frozenset(row.columns) for row in connection.execute(_TABLES, params)}
    return Shape(tables, frozenset(connection.execute(_SEQUENCES, params).scalars()))


def losses(connection: Connection, before: Shape, after: Shape) -> list[Loss]:
    """What goes from `before`, which stands, to `after`; what holds nothing is no loss."""
    found = []
    for table, columns in before.tables.items():
        gone = sorted(columns - after.tables.get(table, frozenset()))
        if not gone:
            continue
        told = () if table not in after.tables else tuple(gone)
        says = " or ".join(f"{_quoted(each)} is not null" for each in told) or "true"
        count = connection.execute(text(f"select count(*) from {_full(table)} where {says}")).scalar_one()
        found += [Loss(table, count, told)] if count else []
    return found


def set_aside(connection: Connection, lost: Sequence[Loss], before: Shape, after: Shape) -> None:
    """Keep what is lost, and where the sequences stand that go, until `restore`."""
    if not lost:
        return
    connection.execute(text(f"create schema if not exists {ASIDE}"))
    number = 1 + max((each.number for each in _set_aside_tables(connection)), default=0)
    for each in lost:
        kept = SetAsideTable(each.table, number, is_whole=not each.columns)
        columns = "*"
        if each.columns:
            columns = ", ".join(map(_quoted, dict.fromkeys([*_key(connection, each.table), *each.columns])))
        connection.execute(text(f"create table {kept.place} as select {columns} from {_full(each.table)}"))
    for sequence in sorted(before.sequences - after.sequences):
        kept = SetAsideTable(sequence, number, is_whole=True)
        connection.execute(text(f"create table {kept.place} as select last_value from {_full(sequence)}"))


@dataclass(frozen=True, slots=True)
class SetAsideTable:
    """What was set aside of a table (or sequence): all of it, or some columns, at the step back of this number."""

    table: str
    number: int
    is_whole: bool

    @property
    def place(self) -> str:
        """Where it is."""
        return f'{ASIDE}."{self.table}#{self.number}{"" if self.is_whole else "#columns"}"'


def _set_aside_tables(connection: Connection) -> list[SetAsideTable]:
    names = [place.removeprefix(f"{ASIDE}.").split("#") for place in shape_of(connection, [ASIDE]).tables]
    return [SetAsideTable(table, int(number), is_whole=not more) for table, number, *more in names]


def restore(connection: Connection, order: Sequence[str]) -> list[str]:
    """Put back what was set aside and has a place again. Returns which tables it concerns.

    What went last comes first, and of that parents before others (`order`, full names). What cannot be put back stays
    where it is, with a line in the log.
    """
    kept, now = _set_aside_tables(connection), shape_of(connection)
    rank = {name: number for number, name in enumerate(order)}
    restored = []
    for each in sorted(kept, key=lambda each: (-each.number, rank.get(each.table, len(rank)), each.table)):
        if each.table not in now.tables and each.table not in now.sequences:
            continue
        attempt = connection.begin_nested()
        try:
            came_back = _put_back(connection, each, now)
        except DBAPIError as error:
            attempt.rollback()
            log.warning("rows_not_restored", table=each.table, error=str(error.orig).splitlines()[0][:200])
            continue
        attempt.commit()
        restored += [each.table] if came_back and each.table in now.tables else []
    if kept and not _set_aside_tables(connection):
        connection.execute(text(f"drop schema {ASIDE}"))
    return list(dict.fromkeys(restored))


def _put_back(connection: Connection, kept: SetAsideTable, now: Shape) -> bool:
    if kept.table in now.sequences:
        stood = f"(select last_value from {kept.place})"
        full = _full(kept.table)
        connection.execute(text(f"select setval('{full}', greatest({stood}, last_value)) from {full}"))
        connection.execute(text(f"drop table {kept.place}"))
        return True
    target, key = _full(kept.table), _key(connection, kept.table)
    columns = shape_of(connection, [ASIDE]).tables[kept.place.replace('"', "")]
    fit = columns & now.tables[kept.table]
    told = sorted(fit - set(key))
    if not told and not kept.is_whole:
        return False
    # Tables to which rows are only added refuse everything else.
    connection.execute(text(f"alter table {target} disable trigger user"))
    if kept.is_whole:
        _insert(connection, kept, sorted(fit))
    else:
        same = " and ".join(f"t.{_quoted(each)} = s.{_quoted(each)}" for each in key)
        changes = ", ".join(f"{_quoted(each)} = s.{_quoted(each)}" for each in told)
        connection.execute(text(f"update {target} t set {changes} from {kept.place} s where {same}"))
    connection.execute(text(f"alter table {target} enable trigger user"))
    if columns == fit:
        connection.execute(text(f"drop table {kept.place}"))
        return True
    # The rest has no place before a later revision.
    for each in told:
        connection.execute(text(f"alter table {kept.place} drop column {_quoted(each)}"))
    if kept.is_whole:
        rest = SetAsideTable(kept.table, kept.number, is_whole=False).place.removeprefix(f"{ASIDE}.")
        connection.execute(text(f"alter table {kept.place} rename to {rest}"))
    return True


def _insert(connection: Connection, kept: SetAsideTable, columns: Sequence[str]) -> None:
    target, names = _full(kept.table), ", ".join(map(_quoted, columns))
    connection.execute(text(f"delete from {target}"))  # what the step forward wrote there itself
    connection.execute(text(f"insert into {target} ({names}) overriding system value select {names} from {kept.place}"))
    for column in columns:
        _advance_own(connection, target, column)


def _advance_own(connection: Connection, target: str, column: str) -> None:
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
