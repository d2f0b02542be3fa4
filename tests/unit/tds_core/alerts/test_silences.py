"""A silence mutes what it names, while it is on."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tds_core.alerts.silences import InvalidSilenceError, Silence, check, silence_of, silences_on
from tds_core.alerts.state_machine import AlertRecord
from tds_models.alerts import AlertSeverity

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ALERT = AlertRecord(rule="entity_stale", subject="product", severity=AlertSeverity.WARNING)
SILENCE = Silence(starts_at=NOON, ends_at=NOON + timedelta(hours=1), reason="moving house")
WEEK = timedelta(days=7)
#: Every night at two, Baghdad's time, for an hour.
WINDOW = replace(SILENCE, cron="0 2 * * * Asia/Baghdad", duration_seconds=3600, ends_at=NOON + WEEK)


@pytest.mark.parametrize(
    ("terms", "matches"),
    [
        ({}, True),
        ({"rules": ("entity_stale",)}, True),
        ({"rules": ("entity_*", "other")}, True),
        ({"rules": ("other",)}, False),
        ({"subjects": ("product",)}, True),
        ({"subjects": ("invoice",)}, False),
        ({"severities": ("warning",)}, True),
        ({"severities": ("critical",)}, False),
        ({"rules": ("entity_stale",), "subjects": ("invoice",)}, False),
    ],
)
def test_it_matches_by_rule_subject_and_severity_together(terms: dict[str, Any], matches: bool) -> None:
    assert replace(SILENCE, **terms).matches(ALERT) is matches


def test_it_is_on_from_its_beginning_to_its_end() -> None:
    moments = {seconds: SILENCE.is_on(NOON + timedelta(seconds=seconds)) for seconds in (-1, 0, 3599, 3600)}
    assert moments == {-1: False, 0: True, 3599: True, 3600: False}
    assert silence_of(ALERT, silences_on([SILENCE], NOON)) is SILENCE
    assert silence_of(ALERT, silences_on([SILENCE], NOON - timedelta(seconds=1))) is None


def test_a_window_recurs() -> None:
    night = datetime(2026, 3, 3, 23, tzinfo=UTC)
    assert [WINDOW.is_on(night + timedelta(minutes=minutes)) for minutes in (-1, 0, 59, 60)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert not WINDOW.is_on(night + timedelta(days=7))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"reason": "  "}, "Say why"),
        ({"ends_at": NOON}, "ends before it begins"),
        ({"ends_at": NOON + timedelta(days=400)}, "a year at most"),
        ({"severities": ("mild",)}, "No severity is called 'mild'"),
        ({"cron": "0 2 * * *"}, "both a schedule"),
        ({"duration_seconds": 60}, "both a schedule"),
        ({"cron": "0 2 * * *", "duration_seconds": 5}, "a minute to seven days"),
        ({"cron": "every day", "duration_seconds": 3600}, "schedule 'every day'"),
        ({"cron": "every:1", "duration_seconds": 3600}, "no time of day.*'0 2 \\* \\* 0 Asia/Baghdad'"),
    ],
)
def test_a_silence_that_cannot_be_meant_is_refused(terms: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSilenceError, match=message):
        check(replace(SILENCE, **terms), NOON)


def test_a_silence_that_has_ended_already_is_refused() -> None:
    with pytest.raises(InvalidSilenceError, match="has ended"):
        check(SILENCE, NOON + timedelta(hours=2))
