"""A rule is called off when that can be known, and not because one webhook was lost."""

from datetime import UTC, datetime, timedelta

import pytest

from tds_core.webhook_coverage.rule_state import MissedSince, RuleState, judge_rule

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("subject", "missed_count", "told_minutes_ago", "state"),
    [
        ("all", 0, 600, RuleState.HEARD),
        ("all", 0, None, RuleState.HEARD),
        ("all", 1, 10, RuleState.HEARD),
        ("all", 2, 59, RuleState.HEARD),
        ("all", 3, 10, RuleState.OFF),
        ("all", 1, 60, RuleState.OFF),
        ("all", 1, None, RuleState.MISSING),
        ("deleted", 2, 600, RuleState.HEARD),
        ("deleted", 3, 600, RuleState.OFF),
        ("deleted", 2, None, RuleState.HEARD),
        ("deleted", 3, None, RuleState.MISSING),
    ],
)
def test_three_in_a_row_or_an_hour_of_silence(
    subject: str, missed_count: int, told_minutes_ago: int | None, state: RuleState
) -> None:
    told_at = None if told_minutes_ago is None else NOW - timedelta(minutes=told_minutes_ago)
    missed = MissedSince(source="zoho", entity="product", subject=subject, told_at=told_at, missed_count=missed_count)
    assert judge_rule(missed, NOW) is state
