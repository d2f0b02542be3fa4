"""COPY: every value arrives as it was, however odd."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.records.sql import NULL, as_json, copy, lay_out, spell, try_copy

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
    "\x1d\x1e\x1f",
]


def rows_of(session: Session, rows: list[list[object]]) -> list[tuple[object, ...]]:
    session.execute(text("create temp table copied (number int, said text, amount numeric, at timestamptz)"))
    copy(session, spell("copied", ("number", "said", "amount", "at"), rows))
    return [tuple(row) for row in session.execute(text("select * from copied order by number"))]


def test_every_text_arrives_as_it_was(session: Session) -> None:
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    texts = [*ODD, NULL, None]
    rows: list[list[object]] = [[n, each, Decimal("1.50") if n % 2 else None, at] for n, each in enumerate(texts)]
    assert rows_of(session, rows) == [tuple(row) for row in rows]


@pytest.mark.parametrize("value", [*ODD, Decimal("-0.00"), Decimal("1E+5"), True, False, {"a\tb": 'c\\"\nd'}, ["x"]])
def test_json_arrives_as_it_was(session: Session, value: object) -> None:
    session.execute(text("create temp table told (said json)"))
    copy(session, lay_out("told", ("said",), [[as_json(value)]]))
    kept = session.execute(text("select said::text from told")).scalar_one()
    assert msgspec.json.decode(kept, type=type(value)) == value


def test_rows_that_exist_already_leave_everything_as_it_was(session: Session) -> None:
    session.execute(text("create temp table once (id int primary key)"))
    session.execute(text("create temp table story (said text)"))
    first = [spell("once", ("id",), [[1], [2]]), spell("story", ("said",), [["one"]])]
    again = [spell("story", ("said",), [["two"]]), spell("once", ("id",), [[3], [2]])]
    assert try_copy(session, *first)
    assert not try_copy(session, *again)
    assert session.execute(text("select count(*) from once")).scalar() == 2
    assert session.execute(text("select count(*) from story")).scalar() == 1
