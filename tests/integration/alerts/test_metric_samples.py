"""Samples: measured values are stored when they change, and show when a rule would have fired."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from tds_core.alerts.metric_samples import DryRun, SampleWriter, dry_run
from tds_core.alerts.rule import Rule
from tds_core.alerts.rule_terms import declared_terms
from tests.support.alert_rules import Switchboard
from tests.support.world import World

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def rule() -> Rule:
    """Fires above 100 for a minute, and ends half a minute after."""
    return Switchboard().rule("backlog", threshold=100, for_seconds=60, keep_seconds=30)


def put(world: World, rule: Rule, values: dict[float, float | None], subject: str = "") -> None:
    for minutes_ago, value in values.items():
        world.execute(
            "insert into tds_metrics values (:name, :subject, now() - make_interval(secs => :ago), :value)",
            name=rule.name, subject=subject, ago=minutes_ago * 60, value=value,
        )  # fmt: skip


def tried(world: World, rule: Rule, **changes: object) -> DryRun:
    with Session(world.engine) as session:
        return dry_run(session, rule, replace(declared_terms(rule), **changes))  # type: ignore[arg-type]


def test_it_says_how_often_and_how_long_a_rule_would_have_fired(world: World, rule: Rule) -> None:
    put(world, rule, {60 * 24 * 8: 0, 600: 150, 580: 10, 300: 500, 289: 20, 100: 150, 99.5: 0})
    result = tried(world, rule)
    assert (result["firing_count"], round(result["firing_seconds"])) == (2, (20 + 11) * 60 - 2 * 60 + 2 * 30)
    assert result["says"] == "It would have fired 2 times in the last 7 days, 30 minutes in all."
    assert tried(world, rule, threshold=1000)["says"] == "It would not have fired in the last 7 days."
    assert tried(world, rule, for_seconds=0)["firing_count"] == 3


def test_a_short_gap_does_not_end_a_firing(world: World, rule: Rule) -> None:
    put(world, rule, {100: 150, 90: 10, 89.8: 150, 80: 0})
    assert tried(world, rule)["firing_count"] == 1
    assert tried(world, rule, keep_seconds=0)["firing_count"] == 2


def test_a_firing_that_goes_on_has_no_end(world: World, rule: Rule) -> None:
    put(world, rule, {10: 150})
    [firing] = tried(world, rule)["firings"]
    assert (firing["ended_at"], round(firing["seconds"] / 60)) == (None, 9)


def test_a_value_before_the_span_still_holds_in_it(world: World, rule: Rule) -> None:
    put(world, rule, {60 * 24 * 10: 150, 60: 0})
    assert tried(world, rule)["firing_count"] == 1


def test_a_subject_that_is_gone_meets_nothing(world: World, rule: Rule) -> None:
    put(world, rule, {100: 150, 50: None}, subject="product")
    [firing] = tried(world, rule)["firings"]
    assert (firing["subject"], round(firing["seconds"])) == ("product", 49 * 60 + 30)


def test_before_anything_was_measured_it_says_so(world: World, rule: Rule) -> None:
    assert tried(world, rule)["says"].startswith("Nothing was measured yet")


def test_only_changes_are_stored_and_a_moving_value_once_a_minute(world: World) -> None:
    writer = SampleWriter()

    def write(seconds: float, value: float | None, *failed: str) -> None:
        with Session(world.engine) as session, session.begin():
            values = {("backlog", ""): (value, value > 100)} if value is not None else {}
            writer.write(session, values, failed, NOON + timedelta(seconds=seconds))

    for seconds, value in ((0, 5), (15, 5), (30, 6), (60, 7), (75, 150), (90, 151), (105, 20)):
        write(seconds, value)
    write(120, None, "backlog")
    write(135, None)
    rows = world.rows(
        "select extract(epoch from at - '2026-03-02 12:00Z') as seconds, value from tds_metrics order by at"
    )
    assert [(int(row["seconds"]), row["value"]) for row in rows] == [
        (0, 5), (60, 7), (75, 150), (105, 20), (135, None)
    ]  # fmt: skip
