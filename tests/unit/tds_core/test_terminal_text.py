"""Nothing from outside is obeyed by a terminal, and nothing that differs looks the same."""

import io
import json
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.config.settings import load_settings
from tds_core.observability.logging import configure_logging, get_logger
from tds_core.terminal_text import shown, shown_in_line, shown_json
from tests.support.hostile_text import OBEYED

ANYTHING = st.text(st.characters(categories=None), max_size=40) | st.lists(
    st.sampled_from([*"ab\n\t", *OBEYED]), max_size=20
).map("".join)


@pytest.mark.parametrize("character", OBEYED)
def test_what_a_terminal_obeys_is_spelled_out(character: str) -> None:
    text = shown(f"a{character}b")
    assert character not in text
    assert text.startswith("a\\")
    assert shown_in_line("a\nb\tc") == "a\\nb\\tc"


@pytest.mark.parametrize("text", ["Ünïcödé", "مِنْتَج ۱۲", "商品", "👩‍👧 family", "a\tb\nc", "می‌خواهم", ""])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


@given(ANYTHING)
def test_no_text_holds_what_a_terminal_obeys_and_twice_is_once(text: str) -> None:
    once = shown(text)
    assert not set(once) & set(OBEYED)
    assert shown(once) == once
    once.encode()


@given(ANYTHING)
def test_json_reads_as_the_same_value(text: str) -> None:
    text = text.encode(errors="ignore").decode()
    document = shown_json(msgspec.json.encode({"name": text}).decode())
    assert json.loads(document) == {"name": text}
    assert not set(document) & (set(OBEYED) - {"\x7f"})


@pytest.mark.parametrize("form", ["console", "json"])
def test_logs_show_what_events_quote(form: str) -> None:
    stream = io.StringIO()
    configure_logging(load_settings({"TDS_LOG_FORMAT": form}), process="test", stream=stream)
    get_logger("test").warning("page_refused", detail="a" + "".join(OBEYED), inner={"name": "".join(OBEYED)})
    try:
        raise ValueError("b" + "".join(OBEYED[:-1]))
    except ValueError:
        get_logger("test").exception("broke")
    colours = {"\x1b"} if sys.stderr.isatty() else set()
    assert not set(stream.getvalue()) & (set(OBEYED) - colours)
