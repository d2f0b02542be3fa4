"""The SQL that reads and writes an entity's rows: statements built from its declaration, and COPY for many new rows.

Rows travel as one JSON parameter and are typed by PostgreSQL (`jsonb_to_recordset`), so a statement has the same text
for one row and for a thousand.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import psycopg2
import psycopg2.errors
from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from tds_core.quality import unreadable_values
from tds_core.quality.unstorable_values import spell_exactly
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity, Lines
from tds_models.entities.fields import Field


@dataclass(frozen=True, slots=True)
class LineStatements:
    """How the lines of a document are read and replaced."""

    name: str
    read: TextClause
    remove: TextClause
    add: TextClause


@dataclass(frozen=True, slots=True)
class Statements:
    """How the rows of one entity are read and written."""

    read: TextClause
    lock: TextClause
    try_lock: TextClause
    differing: TextClause
    insert: TextClause
    update: TextClause
    touch: TextClause
    lines: tuple[LineStatements, ...]


@cache
def statements_for(name: str) -> Statements:
    """The statements of entity `name`."""
    entity = ENTITIES[name]
    return Statements(
        read=text(_read(entity)),
        lock=text(f"{_WAIT} {_read(entity)} for no key update"),
        try_lock=text(f"{_WAIT} {_lock_tables(entity)} {_read(entity)} for no key update skip locked"),
        differing=text(_differing(entity)),
        insert=text(_insert(entity)),
        update=text(_update(entity)),
        touch=text(_touch(entity)),
        lines=tuple(_line_statements(entity, lines) for lines in entity.lines),
    )


# Locks that others hold on rows or tables of the mirror are waited for no longer than this; what waits is put off
# instead. Keys of rows never change, so rows that others' tables refer to are not in the way.
LOCK_MILLISECONDS = 300
_WAIT = f"set local lock_timeout = {LOCK_MILLISECONDS};"


def _lock_tables(entity: Entity) -> str:
    """Whoever locked a table as a whole is met here, before anything else is locked."""
    tables = [entity.table, *entity.line_tables.values()]
    return f"lock table {', '.join(table.fullname for table in tables)} in row exclusive mode;"


def _names(fields: tuple[Field, ...], prefix: str = "") -> str:
    return ", ".join(prefix + field.name for field in fields)


def _exact(fields: tuple[Field, ...]) -> str:
    """Nested values as the text they are: a driver would make floats of their numbers."""
    return ", ".join(f"{field.name}::text" if field.kind.sql == "jsonb" else field.name for field in fields)


def _typed(fields: tuple[Field, ...]) -> str:
    return ", ".join(f"{field.name} {field.kind.sql}" for field in fields)


def _read(entity: Entity) -> str:
    whole = "lines_confirmed_at, " if entity.header_first else ""
    return f"""
        select source_id, {_exact(entity.fields)}, source_modified_at, source_record_at, source_record_seen, list_hash,
               version, changed_at, confirmed_at, {whole}deleted_at,
               {unreadable_values.ANY_OPEN.format(entity=entity.name)} as any_open
        from {entity.table.fullname} where source = :source and source_id = any(:ids) order by source_id"""


def _typed_rows(entity: Entity) -> str:
    return f"""jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, {_typed(entity.fields)},
        source_modified_at timestamptz, record jsonb, record_at timestamptz, door text, whole boolean,
        list_hash text, list_stands boolean, ahead boolean, resets boolean, confirmed boolean, gone boolean)"""


# A row that was taken away by hand has a history, which its new life goes on from.
def _insert(entity: Entity) -> str:
    column, value = (", lines_confirmed_at", ", case when r.whole then now() end") if entity.header_first else ("", "")
    return f"""{_WAIT}
        insert into {entity.table.fullname} (source, source_id, {_names(entity.fields)}, source_modified_at,
            source_record, source_record_at, source_record_seen, list_hash, version, confirmed_at, deleted_at{column})
        select :source, r.source_id, {_names(entity.fields, "r.")}, r.source_modified_at, r.record, r.record_at, r.door,
            decode(r.list_hash, 'hex'), 1 + coalesce(history.version, 0), case when r.confirmed then now() end,
            case when r.gone then now() end{value}
        from {_typed_rows(entity)}
        left join lateral (select max(version) as version from tds_audit_trail a where a.entity = '{entity.name}'
            and a.source_id = r.source_id and a.source = :source) history on true
        order by r.source_id
        on conflict (source, source_id) do nothing returning source_id, version"""


# A whole reading says nothing of the list row, but as long as the time is the same the row last seen still stands.
# Where records have no time, it stands if nothing changed that the list shows.
_LIST_HASH = """coalesce(decode(r.list_hash, 'hex'), case when r.confirmed
        and case when r.source_modified_at is null then t.source_modified_at is null and r.list_stands
            when r.ahead then r.list_stands
            else r.source_modified_at = t.source_modified_at end
        then t.list_hash end)"""
# One state as one door sent it. A whole one is replaced by a whole one only: its time says when it has become old.
_REPLACES = "r.door is not null and (r.whole or coalesce(t.source_record_seen not in ('body', 'detail'), true))"
_BOOKKEEPING = f"""
    source_modified_at = case when r.resets then coalesce(r.source_modified_at, t.source_modified_at)
        else greatest(t.source_modified_at, r.source_modified_at) end,
    source_record = case when {_REPLACES} then r.record else t.source_record end,
    source_record_at = case when {_REPLACES} then r.record_at else t.source_record_at end,
    source_record_seen = case when {_REPLACES} then r.door else t.source_record_seen end,
    list_hash = {_LIST_HASH},
    confirmed_at = case when r.confirmed then now() end"""


def _bookkeeping(entity: Entity, *, unless_whole: str) -> str:
    """Where a row stands after a record; `unless_whole`: what is known of its lines after no more than a list row."""
    if not entity.header_first:
        return _BOOKKEEPING
    return f"{_BOOKKEEPING}, lines_confirmed_at = case when r.whole then now() else {unless_whole} end"


# The ids are given once more, because the planner knows how long an array is, but takes any recordset for a hundred
# rows, and any one source for rare until it has statistics: either way it would read the whole table.
_MATCHED = "t.source = :source and t.source_id = any(cast(:ids as text[])) and t.source_id = r.source_id"


# When the fingerprint of a list row says that it tells nothing new.
_EQUAL = (
    """coalesce(t.deleted_at is null and t.confirmed_at is not null and t.list_hash = decode(r.hash, 'hex'), false)"""
)
# Whether a record's details wait to be read, and nobody is at it: a reading in hand may be older than the page. As a
# value, not as `exists`, for which the planner may read the whole queue.
_ENQUEUED = """coalesce((select q.must_read and q.lease_token is null from tds_sync_queue q
            where q.source = t.source and q.entity = '{entity}' and q.source_id = t.source_id), false)"""


def _differing(entity: Entity) -> str:
    """The rows of a page that tell anything new, or whose records were never seen whole; of these whether they are
    owed that already.
    """
    whole, enqueued = "true", "false"
    if entity.header_first:
        whole, enqueued = "t.lines_confirmed_at is not null", f"{_EQUAL} and {_ENQUEUED.format(entity=entity.name)}"
    return f"""
        select r.source_id, t.source_id is not null as is_known, {enqueued} as is_enqueued
        from unnest(cast(:ids as text[]), cast(:hashes as text[])) as r(source_id, hash)
        left join {entity.table.fullname} t on {_MATCHED}
        where not ({_EQUAL} and {whole})"""


def _update(entity: Entity) -> str:
    fields = ", ".join(f"{field.name} = r.{field.name}" for field in entity.fields)
    return f"""{_WAIT}
        update {entity.table.fullname} t set {fields}, {_bookkeeping(entity, unless_whole="null")},
            version = t.version + 1, changed_at = now(), deleted_at = case when r.gone then now() end
        from {_typed_rows(entity)} where {_MATCHED}"""


def _touch(entity: Entity) -> str:
    unmoved = "case when r.source_modified_at is not distinct from t.source_modified_at then t.lines_confirmed_at end"
    return f"""
        update {entity.table.fullname} t set {_bookkeeping(entity, unless_whole=unmoved)}, changed_at = case
            when t.source_modified_at is distinct from r.source_modified_at then now() else t.changed_at end
        from {_typed_rows(entity)} where {_MATCHED}"""


def _line_statements(entity: Entity, lines: Lines) -> LineStatements:
    table = entity.line_tables[lines.name].fullname
    return LineStatements(
        name=lines.name,
        read=text(f"""
            select parent_id, position, line_id, {_exact(lines.fields)} from {table}
            where source = :source and parent_id = any(:ids) order by parent_id, position"""),
        remove=text(f"{_WAIT} delete from {table} where source = :source and parent_id = any(:ids)"),
        add=text(f"""
            insert into {table} (source, parent_id, position, line_id, {_names(lines.fields)})
            select :source, r.parent_id, r.position, r.line_id, {_names(lines.fields, "r.")}
            from jsonb_to_recordset(cast(:rows as jsonb)) as r(parent_id text, position int, line_id text,
                {_typed(lines.fields)})"""),
    )


# COPY is the cheapest way to append many rows: values are written once, and nothing is quoted twice.
CHUNK_BYTES = 1 << 20
NULL = r"\N"


def as_text(value: Any) -> str:
    r"""A value as COPY's text format has it: text, a number, a time or `None`, JSON, bytes as `\x` hex."""
    if value is None:
        return NULL
    if type(value) is str:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return as_json(value).strip('"')


def as_json(value: Any) -> str:
    """The JSON of a value as COPY's text format has it. Decimals and times are text."""
    return msgspec.json.encode(value).decode().replace("\\", "\\\\")


def as_exact_json(value: Any) -> str:
    """The same of a nested value, in which numbers stay numbers."""
    return spell_exactly(value).decode().replace("\\", "\\\\")


def as_it_came(raw: bytes) -> str:
    """The bytes of a JSON record as COPY's text format has them; in bytes the few marks are found soonest."""
    marked = raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r").replace(b"\t", b"\\t")
    return marked.decode()


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows spelled out for a table, ready to be sent."""

    statement: str
    lines: bytes


def spell(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Copy:
    """`rows` of values made ready for `table`; see `as_text`."""
    return lay_out(table, columns, [[as_text(value) for value in row] for row in rows])


def lay_out(table: str, columns: Sequence[str], rows: Iterable[Iterable[str]]) -> Copy:
    """`rows` of values as COPY has them made ready for `table`."""
    lines = "\n".join(map("\t".join, rows)) + "\n"
    return Copy(f"copy {table} ({', '.join(columns)}) from stdin", lines.encode())


def copy(session: Session, rows: Copy) -> None:
    """Append `rows`. Raises SQLAlchemy's errors, like any statement: the transaction (or savepoint) is then lost."""
    cursor: Any = session.connection().connection.cursor()
    try:
        with cursor:
            cursor.copy_expert(rows.statement, io.BytesIO(rows.lines), CHUNK_BYTES)
    except psycopg2.Error as error:
        raise DBAPIError.instance(rows.statement, None, error, psycopg2.Error) from None


def try_copy(session: Session, *copies: Copy) -> bool:
    """Append all of them, unless one of the rows exists already: then nothing is appended, and the answer is False."""
    savepoint = session.begin_nested()
    try:
        for each in copies:
            copy(session, each)
    except IntegrityError as error:
        if not isinstance(error.orig, psycopg2.errors.UniqueViolation):
            raise
        savepoint.rollback()
        return False
    savepoint.commit()
    return True
