"""The scorecard of acceptance is decided from facts alone: pass, fail, or so many of seven days seen."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tds_core.statistics.acceptance_scorecard import (
    AcceptanceFacts,
    ComparedEntity,
    ScorecardLine,
    Verdict,
    decide,
    percent,
)

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
EQUAL = ComparedEntity("product", Decimal("100.0000"), "equal", NOW - timedelta(hours=9))
GOOD = AcceptanceFacts(
    now=NOW, seen_days=20.0, sampled_days=20.0, succeeded_count=9_999, failed_count=1, success_rate=0.9999,
    most_dead_letters=2, open_dead_letters=0, oldest_undecided_at=None, undecided_count=0, intervention_count=0,
    last_intervention=None, event_count=5_000, p95_seconds=1.0, share_in_time=0.999, compared=[EQUAL],
    uptime_share=0.9999, down_seconds=60.0, longest_gap=None,
)  # fmt: skip


def line(name: str, **facts: Any) -> ScorecardLine:
    return next(line for line in decide(dataclasses.replace(GOOD, **facts)).lines if line.name == name)


def test_where_everything_held_for_seven_days_the_installation_passes() -> None:
    card = decide(GOOD)
    assert (card.verdict, {line.verdict for line in card.lines}) == (Verdict.PASS, {Verdict.PASS})
    assert len(card.lines) == 7


@pytest.mark.parametrize(("name", "facts"), [
    ("success rate", {"success_rate": 0.995}),
    ("dead letters", {"most_dead_letters": 10}),
    ("dead letters decided", {"undecided_count": 1, "oldest_undecided_at": NOW - timedelta(hours=25)}),
    ("manual intervention", {"intervention_count": 1, "last_intervention": "repair by ann"}),
    ("latency", {"share_in_time": 0.9499}),
    ("reconciliation", {"compared": [EQUAL, ComparedEntity("bill", Decimal("99.9999"), "differs", NOW)]}),
    ("uptime", {"uptime_share": 0.9949}),
])  # fmt: skip
@pytest.mark.parametrize("seen_days", [0.5, 20.0])
def test_one_requirement_that_does_not_hold_fails_the_whole_at_once(
    name: str, facts: dict[str, Any], seen_days: float
) -> None:
    card = decide(dataclasses.replace(GOOD, seen_days=seen_days, sampled_days=seen_days, **facts))
    failing = [line for line in card.lines if line.verdict is Verdict.FAIL]
    assert (card.verdict, [line.name for line in failing]) == (Verdict.FAIL, [name])
    assert failing[0].mend


@pytest.mark.parametrize(("name", "facts"), [
    ("success rate", {"success_rate": 0.99501}),
    ("dead letters", {"most_dead_letters": 9}),
    ("latency", {"share_in_time": 0.95, "p95_seconds": 60.0}),
    ("uptime", {"uptime_share": 0.995}),
])  # fmt: skip
def test_what_just_holds_passes(name: str, facts: dict[str, Any]) -> None:
    assert line(name, **facts).verdict is Verdict.PASS


def test_before_seven_days_nothing_is_proven_that_must_hold_for_seven_days() -> None:
    card = decide(dataclasses.replace(GOOD, seen_days=3.9, sampled_days=2.1))
    assert card.verdict is Verdict.NOT_PROVEN
    said = {line.name: line.says for line in card.lines if line.verdict is Verdict.NOT_PROVEN}
    assert set(said) == {"success rate", "dead letters", "manual intervention", "latency", "uptime"}
    assert said["success rate"].endswith("3 of 7 days seen")
    assert said["uptime"].endswith("2 of 7 days seen")
    assert decide(dataclasses.replace(GOOD, seen_days=6.999)).verdict is Verdict.NOT_PROVEN
    assert decide(dataclasses.replace(GOOD, seen_days=7.0)).verdict is Verdict.PASS


def test_where_nothing_happened_nothing_is_proven() -> None:
    empty = dataclasses.replace(
        GOOD, seen_days=0.0, sampled_days=0.0, succeeded_count=0, failed_count=0, success_rate=None, event_count=0,
        p95_seconds=None, share_in_time=None, compared=[], uptime_share=None,
    )  # fmt: skip
    verdicts = {line.name: line.verdict for line in decide(empty).lines}
    assert verdicts.pop("dead letters decided") is Verdict.PASS
    assert verdicts.pop("reconciliation") is Verdict.NOT_PROVEN
    assert set(verdicts.values()) == {Verdict.NOT_PROVEN}


@pytest.mark.parametrize("compared", [
    ComparedEntity("product", None, None, None),
    ComparedEntity("product", Decimal(100), "unproven", NOW),
    ComparedEntity("product", Decimal(100), "equal", NOW - timedelta(days=7)),
    ComparedEntity("product", None, "unproven", NOW),
])  # fmt: skip
def test_reconciliation_is_not_proven_without_a_recent_comparison_that_proves_it(compared: ComparedEntity) -> None:
    found = line("reconciliation", compared=[EQUAL, compared])
    assert (found.verdict, found.says) == (Verdict.NOT_PROVEN, "not proven yet: product")


def test_latency_above_the_last_bound_is_said_as_such() -> None:
    assert "p95 over an hour" in line("latency", p95_seconds=None, share_in_time=0.5).says


def test_a_share_is_never_rounded_up_to_what_it_does_not_reach() -> None:
    assert (percent(0.9949999), percent(1.0), percent(0.99999999)) == ("99.499 %", "100.000 %", "99.999 %")
