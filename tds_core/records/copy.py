"""COPY: the cheapest way for many new rows into a table. Values are written once, and nothing is quoted twice."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg2
import psycopg2.errors
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from tds_core.quality.value_errors import spell_exactly

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
