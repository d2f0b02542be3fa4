"""COPY: the cheapest way for many new rows into a table. Values are written once, and nothing is quoted twice."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg2
import psycopg2.errors
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

CHUNK_BYTES = 1 << 20


def spelled(value: Any) -> str:
    """`value` as COPY's text format has it: no text, however odd, can be taken for NULL or end a field."""
    if value is None:
        return r"\N"
    if type(value) is not str:
        return str(value)
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def copy_rows(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    r"""Append `rows` to `table`; a value is text, a number, a time or `None`, JSON as text, bytes as `\x` hex.

    Raises SQLAlchemy's errors, like any statement: the transaction (or savepoint) is then lost.
    """
    lines = "".join(["\t".join([spelled(value) for value in row]) + "\n" for row in rows])
    statement = f"copy {table} ({', '.join(columns)}) from stdin"
    cursor: Any = session.connection().connection.cursor()
    try:
        with cursor:
            cursor.copy_expert(statement, io.BytesIO(lines.encode()), CHUNK_BYTES)
    except psycopg2.Error as error:
        raise DBAPIError.instance(statement, None, error, psycopg2.Error) from None


def try_copy_rows(session: Session, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bool:
    """`copy_rows`, unless one of the rows exists already: then nothing is appended, and the answer is False."""
    savepoint = session.begin_nested()
    try:
        copy_rows(session, table, columns, rows)
    except IntegrityError as error:
        if not isinstance(error.orig, psycopg2.errors.UniqueViolation):
            raise
        savepoint.rollback()
        return False
    savepoint.commit()
    return True
