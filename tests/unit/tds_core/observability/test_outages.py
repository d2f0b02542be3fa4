"""A spell of trouble promises one line when it begins and one when it ends, however many notice it."""

import pytest
from structlog.testing import capture_logs

from tds_core.observability.outages import Outage


def test_many_notice_and_one_line_tells_of_the_loss_and_one_of_the_return() -> None:
    spell = Outage("lost", "back")
    with capture_logs() as lines:
        spell.end()
        for error in ("OperationalError", "InterfaceError", "OperationalError"):
            spell.begin(error=error)
        assert spell.is_on
        spell.end()
        spell.end()
    assert [(line["event"], line["log_level"]) for line in lines] == [("lost", "warning"), ("back", "info")]
    assert lines[0]["error"] == "OperationalError"


def test_a_second_loss_is_reported_again() -> None:
    spell = Outage("lost", "back")
    with capture_logs() as lines:
        for _ in range(2):
            spell.begin()
            spell.end()
    assert [line["event"] for line in lines] == ["lost", "back", "lost", "back"]


def test_a_spell_that_comes_and_goes_is_over_once_it_was_quiet_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("tds_core.observability.outages.monotonic", lambda: now[0])
    spell = Outage("lost", "back", quiet_seconds=10)
    with capture_logs() as lines:
        for _ in range(3):
            spell.begin()
            now[0] += 4
            spell.end()
        now[0] += 6
        spell.end()
    assert [line["event"] for line in lines] == ["lost", "back"]
    assert lines[1]["away_seconds"] == 18
