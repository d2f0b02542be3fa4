"""Rules about who is told: subscriptions of programs, and channels of alerts."""

from collections.abc import Iterator

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.rules.phrases import counted
from tds_core.alerts.text_formatting import span
from tds_models.alerts import AlertSeverity

_DISABLED = """
select id, name, extract(epoch from clock_timestamp() - state_at)::float8 as seconds
from tds_subscriptions where state = 'disabled' order by name
"""
_FAILING = """
select id, name, kind, failure_count, failing_since, left(last_error, 200) as error from tds_alert_channels
where is_enabled and failure_count > 0 order by name
"""


def disabled_subscriptions(facts: AlertFacts) -> Iterator[RuleValue]:
    """1 for each subscription that TDS stopped sending to."""
    for row in facts.rows(_DISABLED) if facts.signs["has_disabled_subscriptions"] else ():
        says = f"The subscription {row['name']} was disabled {span(row['seconds'])} ago; it is told of no change."
        yield RuleValue(value=1, says=says, subject=row["name"], detail={"subscription_id": row["id"]})


def failing_channels(facts: AlertFacts) -> Iterator[RuleValue]:
    """By channel of alerts, how many messages it failed to take in a row."""
    for row in facts.rows(_FAILING) if facts.signs["has_failing_channels"] else ():
        many = counted(row["failure_count"], "message")
        says = f"The channel {row['name']} ({row['kind']}) failed to take {many} in a row."
        detail = {"channel_id": row["id"], "since": row["failing_since"], "error": row["error"]}
        yield RuleValue(value=row["failure_count"], says=says, subject=row["name"], detail=detail)


RULES = (
    Rule(
        name="subscription_disabled",
        title="A subscription was disabled",
        severity=AlertSeverity.ERROR,
        measure=disabled_subscriptions,
        threshold=0,
        unit="state",
        cause="Its receiver answered 410 Gone, or took nothing for days.",
        automatic="What it should be told of is kept in the history; it is sent once it is resumed.",
        command="tds subscriptions list",
        expression='max(tds_findings_open{kind="subscription_disabled"}) > {threshold}',
    ),
    Rule(
        name="channel_failing",
        title="A channel of alerts fails",
        severity=AlertSeverity.ERROR,
        measure=failing_channels,
        threshold=2,
        unit="messages",
        cause="Its address or secret is wrong, or the service behind it does not answer.",
        automatic="Each message is tried again at growing intervals; the other channels are told.",
        command="tds alerts channels list",
    ),
)
