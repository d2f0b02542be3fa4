"""COPY: every text arrives as it was, however odd, whichever way the page was spelled."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.copying import NULL, ROW_END, VALUE_END, copy, spell, try_copy

ODD = [
    "",
    "plain",
    "\\N",
    "\\.",
    "a\tb",
    "a\nb",
    "a\r\nb",
    "back\\slash\\",
    "\\t",
    '{"a": "\\"quoted\\" \\u00e9 \\\\"}',
    "שלום 🚚",
    "null",
]


def rows_of(session: Session, rows: list[list[object]]) -> list[tuple[object, ...]]:
    session.execute(text("create temp table copied (number int, said text, amount numeric, at timestamptz)"))
    copy(session, spell("copied", ("number", "said", "amount", "at"), rows))
    return [tuple(row) for row in session.execute(text("select * from copied order by number"))]


@pytest.mark.parametrize("marks", ["", VALUE_END, ROW_END, NULL, f"a{VALUE_END}b{ROW_END}{NULL}"])
def test_every_text_arrives_as_it_was(session: Session, marks: str) -> None:
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    texts = [*ODD, None, *([marks, f"x{marks}y"] if marks else [])]
    rows: list[list[object]] = [[n, each, Decimal("1.50") if n % 2 else None, at] for n, each in enumerate(texts)]
    assert rows_of(session, rows) == [tuple(row) for row in rows]


def test_rows_that_exist_already_leave_everything_as_it_was(session: Session) -> None:
    session.execute(text("create temp table once (id int primary key)"))
    session.execute(text("create temp table story (said text)"))
    first = [spell("once", ("id",), [[1], [2]]), spell("story", ("said",), [["one"]])]
    again = [spell("story", ("said",), [["two"]]), spell("once", ("id",), [[3], [2]])]
    assert try_copy(session, *first)
    assert not try_copy(session, *again)
    assert session.execute(text("select count(*) from once")).scalar() == 2
    assert session.execute(text("select count(*) from story")).scalar() == 1
