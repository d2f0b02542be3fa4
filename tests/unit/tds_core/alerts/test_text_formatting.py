"""Texts of messages promise: one bounded line, spans and times for people, and of a detail what may be shown."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.alerts.text_formatting import detail_lines, one_line, shown_detail, span
from tests.support.hostile_text import NAME, OBEYED


@pytest.mark.parametrize(("seconds", "says"), [
    (-5, "0 s"), (0.4, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (11_100, "3 h 5 min"),
    (86_400, "1 d"), (180_000, "2 d 2 h"),
])  # fmt: skip
def test_spans(seconds: float, says: str) -> None:
    assert span(seconds) == says


@given(st.text(max_size=500), st.integers(10, 100))
def test_any_text_becomes_one_bounded_line(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert len(line) <= longest
    assert not set(line) & {*OBEYED, "\n", "\t"}


def test_different_texts_look_different() -> None:
    assert one_line(NAME, 500) != one_line(NAME.replace("\u202e", ""), 500)
    assert one_line("a\n\n b\t c", 50) == "a b c"
    assert one_line("x" * 60, 50) == "x" * 49 + "…"


@pytest.mark.parametrize("detail", [
    {"text": "free text here"}, {"list": ["free text", "more of it"]}, {"a": {"b": {"c": {"d": 1}}}}, {"free text": 1},
    {"nothing": None}, {"empty": {}}, {"name": "O'Neil"}, {"command": "rm -rf / ; tds x"}, {"bytes": b"abc def"},
])  # fmt: skip
def test_without_text_only_ids_counts_and_commands_are_shown(detail: dict[Any, Any]) -> None:
    assert shown_detail(detail, with_text=False) == {}


def test_what_is_shown_of_a_detail_is_bounded() -> None:
    wide = {f"k{n}": list(range(100)) for n in range(100)}
    shown = shown_detail(wide, with_text=True)
    assert (len(shown), len(shown["k0"])) == (12, 10)
    assert len(shown_detail({"text": "x" * 10_000}, with_text=True)["text"]) == 300


def test_a_megabyte_of_text_becomes_a_line_in_moments() -> None:
    long = "a" * 1_000_000 + ": http://ann:SECRETpart@db"
    began = time.monotonic()
    assert len(one_line(long, 500)) == 500
    assert "SECRET" not in str(shown_detail({"error": long, "texts": [long[-500:]]}, with_text=True))
    assert time.monotonic() - began < 10


def test_details_become_lines() -> None:
    detail = {
        "count": 1_234_567, "share": 0.5, "is_on": True, "ids": ["a1", "b2"],
        "at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        "groups": [{"entity": "product", "count": 2}], "by_entity": {"product": 3, "order": 4},
    }  # fmt: skip
    assert detail_lines(shown_detail(detail, with_text=False)) == (
        "count: 1,234,567", "share: 0.5", "is on: yes", "ids: a1, b2", "at: 2026-01-02 03:04 UTC",
        "groups: entity product, count 2", "by entity: product 3, order 4",
    )  # fmt: skip
