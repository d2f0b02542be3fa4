"""Rules about webhooks: forged ones, those not stored, those that stay away, and the share of changes they announce."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.phrases import counted, named
from tds_core.alerts.text_formatting import span
from tds_core.webhook_coverage.gap_findings import RULE_OFF
from tds_models.alerts import AlertSeverity
from tds_models.entities import ENTITIES

#: Fewer changes of a day say nothing of the share that was announced.
LEAST_CHANGES = 20
#: The rhythm of an hour is that of the same hour in the weeks before, at least two of four.
WEEKS, LEAST_WEEKS = 4, 2
#: The silence of more hours is not counted.
MOST_HOURS = 24

_FORGED = """
select count(*) as count, count(distinct remote_address) as address_count, min(reason) as reason
from tds_rejected_deliveries
where received_at > now() - interval '10 minutes' and reason in ('signature_wrong', 'signature_missing')
"""
_UNSTORED = """
select coalesce(sum(webhook_count), 0)::bigint as count, array_agg(distinct reason) as reasons
from tds_unstored_webhooks where last_at > now() - interval '5 minutes' and minute > now() - interval '10 minutes'
"""
_COVERAGE = """
select entity, sum(webhook_count + in_time_count)::bigint as announced_count, sum(never_count)::bigint as never_count,
    sum(webhook_count + in_time_count + late_count + never_count + wrong_count)::bigint as change_count
from tds_webhook_coverage where hour_at > now() - interval '24 hours' group by entity order by entity
"""
# Whole hours that passed in silence, and what came in the same hours of the weeks before: nothing that was not counted.
_RHYTHM = """
with silent as (
    select generate_series(date_trunc('hour', cast(:last as timestamptz)) + interval '1 hour',
        date_trunc('hour', cast(:now as timestamptz)) - interval '1 hour', interval '1 hour') as hour_at
    order by 1 desc limit :hours
), weeks as (
    select s.hour_at, w.week, sum((h.activity ->> 'webhook_count')::bigint) as webhook_count
    from silent s cross join generate_series(1, :weeks) as w(week)
    join tds_statistics_history h on h.grain = 'hour' and h.began_at = s.hour_at - w.week * interval '7 days'
        and h.activity is not null
    group by s.hour_at, w.week
), usual as (
    select hour_at, min(webhook_count) as least_count from weeks group by hour_at having count(*) >= :least
)
select coalesce(sum(least_count), 0)::bigint as expected_count, count(*) as hour_count from usual
"""
# Where lists were read since and showed no change, there was nothing that a webhook could have told of.
_POLLED = """
select exists (select from tds_sync_runs where state = 'completed' and mode in ('full', 'incremental')
        and started_at > cast(:last as timestamptz) + interval '1 hour') as was_read,
    exists (select from tds_audit_trail where recorded_at > cast(:last as timestamptz) + interval '5 minutes'
        and origin = 'run') as has_changes
"""


def forged_webhooks(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many webhooks of ten minutes had no signature, or a wrong one."""
    if not facts.signs["has_rejected"]:
        return
    [row] = facts.rows(_FORGED)
    if row["count"]:
        says = f"{counted(row['count'], 'webhook')} in ten minutes had no signature, or a wrong one, from"
        detail = {"address_count": row["address_count"], "reason": row["reason"]}
        addresses = counted(row["address_count"], "address", "addresses")
        yield RuleValue(value=row["count"], says=f"{says} {addresses}.", detail=detail)


def unstored_webhooks(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many webhooks of five minutes were answered 503 and not stored."""
    if not facts.health["unstored"]:
        return
    [row] = facts.rows(_UNSTORED)
    if row["count"]:
        says = f"{counted(row['count'], 'webhook')} in five minutes could not be stored and were answered 503."
        yield RuleValue(value=row["count"], says=says, detail={"reasons": row["reasons"]})


def announced_share(facts: AlertFacts) -> Iterator[RuleValue]:
    """By entity, the share of a day's changes that webhooks announced in time, 0 to 1; nothing for few changes."""
    for row in facts.rows(_COVERAGE) if facts.signs["has_coverage"] else ():
        if row["change_count"] >= LEAST_CHANGES:
            share = row["announced_count"] / row["change_count"]
            says = f"{share:.0%} of {counted(row['change_count'], 'change')} of {row['entity']} were announced in time."
            detail = {"change_count": row["change_count"], "never_count": row["never_count"]}
            yield RuleValue(value=round(share, 3), says=says, subject=row["entity"], detail=detail)


def switched_off_rules(facts: AlertFacts) -> Iterator[RuleValue]:
    """By entity, how many changes no webhook told of since its workflow rule, or that of an event, was last heard."""
    for row in facts.open_findings:
        if row["kind"] == RULE_OFF and row["entity"] in ENTITIES:
            count = row["missed_count"]
            says = f"No webhook of {row['entity']} ({named(row['events'])}) comes, though records changed:"
            says = f"{says} {counted(count, 'change')} so far."
            yield RuleValue(value=max(1, count), says=says, subject=row["entity"], detail={"events": row["events"]})


def missing_webhooks(facts: AlertFacts) -> Iterator[RuleValue]:
    """How many webhooks came at least in the same hours of every week before, where none came now.

    Nothing while polling finds that nothing changed: a holiday is no fault.
    """
    last: datetime | None = facts.signs["last_received_at"]
    if last is None or facts.now - last < timedelta(hours=1):
        return
    params = {"last": last, "now": facts.now, "hours": MOST_HOURS, "weeks": WEEKS, "least": LEAST_WEEKS}
    [found] = facts.rows(_RHYTHM, params)
    if found["expected_count"] and not _is_quiet(facts, last):
        silent = span((facts.now - last).total_seconds())
        says = f"No webhook has come for {silent}; in these hours of the week at least {found['expected_count']:,} did."
        yield RuleValue(
            value=found["expected_count"], says=says, detail={"hours": found["hour_count"], "last_at": last}
        )


def _is_quiet(facts: AlertFacts, last: datetime) -> bool:
    [row] = facts.rows(_POLLED, {"last": last})
    return row["was_read"] and not row["has_changes"]


RULES = (
    Rule(
        name="forged_webhooks",
        title="Webhooks with a wrong signature",
        severity=AlertSeverity.WARNING,
        measure=forged_webhooks,
        threshold=10,
        unit="webhooks",
        cause="The secret in Zoho is not the one TDS has, or somebody tries to forge webhooks.",
        automatic="They are refused and change nothing; what Zoho meant to tell comes with the next incremental sync.",
        command="tds zoho webhooks status",
        expression='sum(increase(tds_webhook_refusals_total{code=~"signature_.*"}[10m])) > {threshold}',
    ),
    Rule(
        name="webhooks_unstored",
        title="Webhooks could not be stored",
        severity=AlertSeverity.ERROR,
        measure=unstored_webhooks,
        threshold=0,
        unit="webhooks",
        cause="PostgreSQL was away, too slow, or out of connections while they came.",
        automatic="They were answered 503, so senders may try again; the next incremental sync brings the rest.",
        command="tds health",
        muted_by=("database_lost", "schema_outdated"),
        expression='sum(increase(tds_webhooks_total{result="unavailable"}[5m])) > {threshold}',
    ),
    Rule(
        name="webhook_coverage",
        title="Webhooks announce too few changes",
        severity=AlertSeverity.WARNING,
        measure=announced_share,
        threshold=0.9,
        below=True,
        unit="ratio",
        cause="Zoho could not reach TDS for a while, a workflow rule is off, or an import changed records silently.",
        automatic="Polling finds what webhooks leave out, an hour later at most.",
        command="tds zoho webhooks coverage",
        muted_by=("webhook_rule_off", "webhooks_unstored", "forged_webhooks", "api_down"),
        expression="min by (entity) (tds_webhook_coverage_ratio) < {threshold} and on (entity)"
        " max by (entity) (sum by (instance, entity) (tds_webhook_coverage_changes)) >= 20",
    ),
    Rule(
        name="webhook_rule_off",
        title="A workflow rule in Zoho seems switched off",
        severity=AlertSeverity.WARNING,
        measure=switched_off_rules,
        threshold=0,
        unit="changes",
        cause="Somebody switched the workflow rule off or changed its webhook, or Zoho switched it off after failures.",
        automatic="The entity is polled four times an hour until its webhooks come again.",
        command="tds zoho webhooks status",
        muted_by=("webhooks_unstored", "forged_webhooks", "api_down"),
        expression='max(tds_findings_open{kind="webhook_rule_off"}) > 0',
    ),
    Rule(
        name="webhooks_silent",
        title="No webhook comes",
        severity=AlertSeverity.WARNING,
        measure=missing_webhooks,
        threshold=10,
        unit="webhooks",
        cause="Zoho cannot reach TDS, or the webhooks in Zoho were removed or switched off.",
        automatic="Polling finds every change, an hour later at most.",
        command="tds zoho webhooks status",
        for_seconds=60,
        muted_by=("webhook_rule_off", "webhooks_unstored", "forged_webhooks", "api_down"),
        expression='sum(increase(tds_webhooks_total{result="accepted"}[1d])) < 1 and sum(increase('
        'tds_webhooks_total{result="accepted"}[1d] offset 7d)) > {threshold}',
    ),
)
