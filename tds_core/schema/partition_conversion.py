"""Conversion of a table into a partitioned one, and back.

The table becomes the first partition as it is, so no row is copied. What takes long is done before, while others write
(`prepare`): a CHECK constraint that proves which rows are in it, and the index of its new primary key. The migration
(`convert`) then only changes names, under a lock that it holds for a moment. Without `prepare` it is as right, and
locks the table for as long as it takes to read it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from tds_core.database_errors import is_contended
from tds_core.partitions import spans_ahead
from tds_models.db import Lock
from tds_models.partitions import PARTITIONED, PartitionedTable

log = structlog.get_logger(__name__)

#: Rows of this time from now on still go into the earlier table. An interrupted conversion must be done again before it
#: ends, since the constraint would refuse rows.
MARGIN = timedelta(days=8)
# Others that want the table stand behind who waits for the lock, so each wait is short.
_LOCK_MILLISECONDS = 500
_LOCK_TRIES = 240
_PAUSE_SECONDS = 0.5

_IS_PLAIN = text("select relkind = 'r' from pg_class where oid = to_regclass('public.' || :table)")
_NOW = text("select clock_timestamp()")
_PROOF = text("""
select convalidated as is_valid,
       (regexp_match(pg_get_constraintdef(oid), $$'([^']+)'$$))[1]::timestamptz as ends_at
from pg_constraint where conrelid = to_regclass('public.' || :table) and conname = :name
""")
_INDEXES = text("""
select c.relname as name, replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ') as definition
from pg_index i join pg_class c on c.oid = i.indexrelid
where i.indrelid = to_regclass('public.' || :table) and not i.indisprimary and c.relname <> :unlisted order by 1
""")
_IDENTITY = text("""
select a.attname as column, coalesce(pg_sequence_last_value(s.oid::regclass), 0) + 1 as next
from pg_attribute a join pg_class s on s.oid = to_regclass(pg_get_serial_sequence('public.' || :table, a.attname))
where a.attrelid = to_regclass('public.' || :table) and a.attidentity = 'a'
""")
_IS_BUILT = text("select indisvalid from pg_index where indexrelid = to_regclass('public.' || :index)")
_GRANTS = text("""
select format('grant %s on public.%I to %s', string_agg(a.privilege_type, ', '), cast(:table as text),
              case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end) as grant
from pg_class c cross join lateral aclexplode(c.relacl) a
where c.oid = to_regclass('public.' || :table) and a.grantee <> c.relowner
  and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER')
group by a.grantee
""")
_LIKE = "including defaults including comments including storage including compression"


def prepare(engine: Engine) -> list[str]:
    """Prepare the tables that are to be partitioned and have rows. Returns their names.

    Each statement commits by itself. Others read and write the tables meanwhile; two locks are held for a moment each.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        plain = [table for table in PARTITIONED.values() if _has_rows(connection, table)]
        if not plain:
            return []
        with _alone(connection):
            for table in plain:
                if _has_rows(connection, table):  # another one may have converted it meanwhile
                    _prepare(connection, table)
    return [table.name for table in plain]


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    # Asked for again and again: whoever waits inside PostgreSQL keeps an index from being built beside it.
    while not connection.execute(text(f"select pg_try_advisory_lock({Lock.PARTITIONS.value})")).scalar_one():
        time.sleep(_PAUSE_SECONDS)
    try:
        yield
    finally:
        connection.execute(text(f"select pg_advisory_unlock({Lock.PARTITIONS.value})"))


def _has_rows(connection: Connection, table: PartitionedTable) -> bool:
    if not connection.execute(_IS_PLAIN, {"table": table.name}).scalar():
        return False
    return bool(connection.execute(text(f"select exists (select from {table.name})")).scalar_one())


def _prepare(connection: Connection, table: PartitionedTable) -> None:
    now = connection.execute(_NOW).scalar_one()
    ends_at = table.span_of(max(now + MARGIN, _newest(connection, table) or now))[1]
    began = time.monotonic()
    try:
        _patiently(connection, f"alter table {table.name} drop constraint if exists {_proof(table)}")
        _patiently(connection, f"alter table {table.name} add constraint {_proof(table)}"
                               f" check ({table.key} < '{ends_at.isoformat()}') not valid")  # fmt: skip
        connection.execute(text("set lock_timeout = 0"))  # these wait for others, and nobody waits for them
        connection.execute(text(f"alter table {table.name} validate constraint {_proof(table)}"))
        if table.primary_key != table.former_key:
            connection.execute(text(f"drop index concurrently if exists {_key_index(table)}"))
            key = ", ".join(table.primary_key)
            connection.execute(text(f"create unique index concurrently {_key_index(table)} on {table.name} ({key})"))
    except BaseException:
        _patiently(connection, f"alter table {table.name} drop constraint if exists {_proof(table)}")
        raise
    log.info("table_prepared_for_partitions", table=table.name, seconds=round(time.monotonic() - began, 1))


def _patiently(connection: Connection, statement: str) -> None:
    """Run a statement outside of transactions that locks a table for a moment; try again while others use it."""
    connection.execute(text(f"set lock_timeout = {_LOCK_MILLISECONDS}"))
    for left in reversed(range(_LOCK_TRIES)):
        try:
            connection.execute(text(statement))
        except DBAPIError as error:
            if not is_contended(error) or not left:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def convert(connection: Connection, table: PartitionedTable) -> None:
    """Make `table` the first partition of a partitioned one of its name; an empty one is partitioned from now on."""
    _lock(connection, table)
    now = connection.execute(_NOW).scalar_one()
    is_filled = _has_rows(connection, table)
    ends_at = _end_of_earlier(connection, table, now) if is_filled else table.span_of(now)[0]
    structure, name, earlier = _structure_of(connection, table), table.name, table.earlier
    statements = [f"alter table {name} rename constraint pk_{name} to pk_{earlier}"]
    statements += [f"alter index {index} rename to {index}_earlier" for index in structure.indexes]
    if structure.identity:
        statements.append(f"alter table {name} alter column {structure.identity} drop identity")
    statements += [
        f"alter table {name} rename to {earlier}",
        f"create table {name} (like {earlier} {_LIKE}) partition by range ({table.key})",
        *structure.statements(name, table.primary_key),
    ]
    if is_filled:
        statements += _wider_key(connection, table)
        statements += [
            f"alter table {name} attach partition {earlier} for values from (minvalue) to ('{ends_at.isoformat()}')",
            f"alter table {earlier} drop constraint if exists {_proof(table)}",
        ]
    else:
        statements.append(f"drop table {earlier}")
    statements.append(f"create table {table.default} partition of {name} default")
    for statement in [*statements, *_first_partitions(table, now, ends_at)]:
        connection.exec_driver_sql(statement)


def revert(connection: Connection, table: PartitionedTable) -> None:
    """Make `table` one plain table again. Copies its rows, and locks it for as long as that takes."""
    _lock(connection, table)
    structure, name, plain = _structure_of(connection, table), table.name, f"{table.name}_plain"
    for statement in (
        f"create table {plain} (like {name} {_LIKE})",
        f"insert into {plain} select * from {name}",
        f"drop table {name}",
        f"alter table {plain} rename to {name}",
        *structure.statements(name, table.former_key),
    ):
        connection.exec_driver_sql(statement)


@dataclass(frozen=True, slots=True)
class _Structure:
    """What a table has beside its columns: indexes, rights, the column the database counts and its next value."""

    indexes: Mapping[str, str]
    identity: str | None
    next_value: int
    grants: Sequence[str]

    def statements(self, name: str, primary_key: Sequence[str]) -> list[str]:
        """The statements that give it to the table `name`."""
        counted = f"alter table {name} alter column {self.identity} add generated always as identity"
        return [
            f"alter table {name} add constraint pk_{name} primary key ({', '.join(primary_key)})",
            *([f"{counted} (start with {self.next_value})"] if self.identity else []),
            *self.indexes.values(),
            *self.grants,
        ]


def _structure_of(connection: Connection, table: PartitionedTable) -> _Structure:
    indexes = connection.execute(_INDEXES, {"table": table.name, "unlisted": _key_index(table)})
    identity = connection.execute(_IDENTITY, {"table": table.name}).one_or_none()
    grants = connection.execute(_GRANTS, {"table": table.name}).scalars().all()
    return _Structure(
        {row.name: row.definition for row in indexes},
        identity.column if identity else None,
        identity.next if identity else 1,
        list(grants),
    )


def _lock(connection: Connection, table: PartitionedTable) -> None:
    """Lock the table until the transaction ends; who uses it meanwhile is not made to wait for longer than a moment."""
    before = connection.execute(text("select current_setting('lock_timeout')")).scalar_one()
    for left in reversed(range(_LOCK_TRIES)):
        attempt = connection.begin_nested()
        try:
            connection.execute(text(f"set local lock_timeout = {_LOCK_MILLISECONDS}"))
            connection.execute(text(f"lock table {table.name} in access exclusive mode"))
        except DBAPIError as error:
            attempt.rollback()
            if not is_contended(error) or not left:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            connection.execute(text(f"set local lock_timeout = '{before}'"))
            attempt.commit()
            return


def _end_of_earlier(connection: Connection, table: PartitionedTable, now: datetime) -> datetime:
    """Before when all its rows are: as the constraint proves, or by its newest row, which may be of a time to come."""
    proof = connection.execute(_PROOF, {"table": table.name, "name": _proof(table)}).one_or_none()
    if proof is not None and proof.is_valid and proof.ends_at > now:
        ends_at: datetime = proof.ends_at
        return ends_at
    return table.span_of(max(now, _newest(connection, table) or now))[1]


def _newest(connection: Connection, table: PartitionedTable) -> datetime | None:
    newest: datetime | None = connection.execute(text(f"select max({table.key}) from {table.name}")).scalar_one()
    return newest


def _wider_key(connection: Connection, table: PartitionedTable) -> list[str]:
    """The statements that give the earlier table the primary key of the partitioned one."""
    if table.primary_key == table.former_key:
        return []
    is_built = connection.execute(_IS_BUILT, {"index": _key_index(table)}).scalar()
    key = f"using index {_key_index(table)}" if is_built else f"({', '.join(table.primary_key)})"
    name = table.earlier
    return [
        f"alter table {name} drop constraint pk_{name}",
        f"alter table {name} add constraint pk_{name} primary key {key}",
    ]


def _first_partitions(table: PartitionedTable, now: datetime, ends_at: datetime) -> Iterator[str]:
    """Those from where the earlier table ends to as far ahead as there should be some."""
    begins_at, ends_at = table.span_of(ends_at)
    last_at = spans_ahead(table, max(now, begins_at))[-1][1]
    while ends_at <= last_at:
        yield (
            f"create table {table.partition(begins_at)} partition of {table.name}"
            f" for values from ('{begins_at.isoformat()}') to ('{ends_at.isoformat()}')"
        )
        begins_at, ends_at = table.span_of(ends_at)


def _proof(table: PartitionedTable) -> str:
    return f"ck_{table.name}_earlier"


def _key_index(table: PartitionedTable) -> str:
    return f"uq_{table.name}_partitioned"
