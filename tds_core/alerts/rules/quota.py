"""Rules about the quota of calls: whether it lasts, whether it is used up, and whether Zoho refuses calls."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.phrases import counted
from tds_core.sources.base import Traffic
from tds_models.alerts import AlertSeverity

# Less than this before the reset is not worth a call.
LEAST_HOURS = 0.25

_PAUSED = """
select paused_until from tds_source_tokens
where paused_until > clock_timestamp() and pause_reason like 'rate_limited%' limit 1
"""


def missing_hours(facts: AlertFacts) -> Iterator[RuleValue]:
    """By product, for how many hours before the reset the calls for what webhooks announce will be used up."""
    for usage, ahead in zip(facts.quota.usage.days.values(), facts.quota.days, strict=True):
        ends_at = ahead.runs_out_at.get(Traffic.LIVE)
        if ends_at is None or usage.spent_until or usage.level.left == 0:
            continue
        hours = (usage.resets_at - ends_at).total_seconds() / 3600
        if hours > LEAST_HOURS:
            says = f"At this pace the calls to {ahead.api} are used up at {ends_at:%H:%M} UTC, {hours:.1f} h before"
            detail = {"left": usage.level.left, "used": usage.level.used, "calls_per_hour": dict(ahead.calls_per_hour)}
            yield RuleValue(
                value=round(hours, 1), says=f"{says} they are counted anew.", subject=ahead.api, detail=detail
            )


def used_up(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 for each product whose calls of the day are used up."""
    for day in facts.quota.usage.days.values():
        if day.spent_until or day.level.left == 0:
            says = (
                f"The calls to {day.api} of this day are used up; they are counted anew at {day.resets_at:%H:%M} UTC."
            )
            others = day.by_class.get("others", 0)
            detail = {"used": day.level.used, "limit": day.level.limit, "by_others": others}
            yield RuleValue(value=1, says=says, subject=day.api, detail=detail)


def limited_minutes(facts: AlertFacts) -> Iterator[RuleValue]:
    """In how many of the last ten minutes Zoho refused calls because there were too many."""
    is_paused = facts.signs["has_access_trouble"] and facts.rows(_PAUSED)
    count = facts.attempts["limited_minutes"] or bool(is_paused)
    if count:
        says = f"Zoho refused calls in {counted(count, 'minute')} of the last ten because there were too many."
        yield RuleValue(value=int(count), says=says)


RULES = (
    Rule(
        name="quota_forecast",
        title="The day's calls will not last",
        severity=AlertSeverity.WARNING,
        measure=missing_hours,
        threshold=0.5,
        unit="hours",
        cause="More records change than usual, another program uses the same quota, or the limits are set too low.",
        automatic="Bulk reading stops first, then scheduled reads; calls for webhooks and stock are kept to the last.",
        command="tds zoho quota",
        for_seconds=900,
        muted_by=("quota_spent", "redis_lost"),
        expression=(
            'min by (api) (predict_linear(tds_quota_left{kind="day"}[1h], 4 * 3600)) < 0 and min by (api)'
            ' (tds_quota_left{kind="day"} / (tds_quota_left{kind="day"} + tds_quota_used{kind="day"})) < 0.25'
        ),
    ),
    Rule(
        name="quota_spent",
        title="The day's calls are used up",
        severity=AlertSeverity.CRITICAL,
        measure=used_up,
        threshold=0,
        unit="state",
        cause="More was read than the quota allows, or another program uses the same quota.",
        automatic="Webhooks with complete records are applied; all other work waits until calls are counted anew.",
        command="tds zoho quota",
        muted_by=("redis_lost",),
        expression='max by (api) (tds_quota_left{kind="day"} == bool 0) > {threshold}',
    ),
    Rule(
        name="rate_limited",
        title="Zoho refuses calls",
        severity=AlertSeverity.WARNING,
        measure=limited_minutes,
        threshold=2,
        unit="minutes",
        cause="Another program uses the same quota, or the limits of TDS are set higher than the plan's.",
        automatic="All processes wait as long as Zoho asks; no attempt is lost.",
        command="tds zoho quota",
        keep_seconds=120,
        muted_by=("quota_spent",),
        expression='sum(increase(tds_api_calls_total{status="429"}[10m])) > 10',
    ),
)
