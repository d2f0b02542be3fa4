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

CHUNK_BYTES = 1 << 20


# Control characters that end values and rows and stand for NULL; real text hardly ever holds them, and where it does
# the rows are spelled with the marks that COPY can escape.
VALUE_END, ROW_END, NULL = "\x1f", "\x1e", "\x1d"
WITH_MARKS = f"with (delimiter e'{VALUE_END}', null e'{NULL}')"
ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"))


def spelled(rows: Sequence[Sequence[Any]]) -> tuple[str, str]:
    """`rows` as COPY's text format has them, and its options: no text can be taken for NULL or end a field."""
    texts = [[NULL if each is None else each if type(each) is str else _plain(each) for each in row] for row in rows]
    page = ROW_END.join([VALUE_END.join(row) for row in texts]) + ROW_END
    ends, nulls = sum(map(len, rows)) - len(rows), sum([row.count(None) for row in rows])
    if (page.count(VALUE_END), page.count(ROW_END), page.count(NULL)) == (ends, len(rows), nulls):
        return _replaced(page, (*ESCAPES, (ROW_END, "\n"))), WITH_MARKS
    return "".join(["\t".join(map(_spelled_value, row)) + "\n" for row in rows]), ""


def _plain(value: Any) -> str:
    return msgspec.json.encode(value).decode() if isinstance(value, (dict, list)) else str(value)


def _spelled_value(value: Any) -> str:
    return r"\N" if value is None else _replaced(_plain(value), (*ESCAPES, ("\t", "\\t")))


def _replaced(text: str, replacements: Iterable[tuple[str, str]]) -> str:
    for old, new in replacements:
        text = text.replace(old, new)
    return text


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows spelled out for a table, ready to be sent."""

    statement: str
    lines: bytes


def spell(table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Copy:
    r"""`rows` made ready for `table`; a value is text, a number, a time or `None`, JSON, bytes as `\x` hex."""
    lines, options = spelled(rows)
    return Copy(f"copy {table} ({', '.join(columns)}) from stdin {options}", lines.encode())


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
