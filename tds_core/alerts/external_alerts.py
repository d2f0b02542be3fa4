"""Alerts that Prometheus measures: taken in from Alertmanager, and kept until it says that they are over.

An alert is one row for a rule and a subject, while Alertmanager may have several alerts for it, such as a warning and a
critical one. The row fires as long as one of them does.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypedDict

import structlog
from sqlalchemy.orm import Session

from tds_core.alerts import deliveries
from tds_core.alerts.alert_store import is_active, lock_subjects, write_changes
from tds_core.alerts.alertmanager import ExternalAlert, Notification
from tds_core.alerts.prometheus_rules import alert_name
from tds_core.alerts.rule import Rule, RuleTerms, RuleValue
from tds_core.alerts.rule_terms import terms_in_force
from tds_core.alerts.state_machine import AlertChange, AlertRecord, end, meet
from tds_core.alerts.text_formatting import one_line
from tds_core.queue.items import database_clock
from tds_models.alerts import AlertSeverity, AlertState
from tds_models.db import Lock

log = structlog.get_logger(__name__)

#: The rule of alerts that TDS does not know.
EXTERNAL_RULE = "external"
#: An alert that is not repeated for so long is over: Alertmanager repeats it, each `repeat_interval`.
LONGEST_SILENCE = timedelta(hours=24)
LONGEST_SUBJECT = 200
#: TDS tells of these by itself, though no measure reads them: without the database there is nothing to read.
MEASURED_OTHERWISE = ("database_lost",)
#: Alerts of Alertmanager that one row remembers; shown to nobody.
MEMBERS, MOST_MEMBERS = "_members", 500
#: Labels that say where and by which rule the alert was measured, not what it is about.
_OF_PROMETHEUS = frozenset(
    {"job", "instance", "prometheus", "prometheus_replica", "replica", "monitor", "cluster", "rule"}
)
_RANK: Final = {severity: rank for rank, severity in enumerate(AlertSeverity)}


class IntakeResult(TypedDict):
    """What became of a notification's alerts. `noted_count`: TDS measures them itself, or they are not for people.

    `repeated_count`: known before, firing or over. `truncated_count`: alerts that Alertmanager left out.
    """

    received_count: int
    fired_count: int
    resolved_count: int
    repeated_count: int
    noted_count: int
    unreadable_count: int
    truncated_count: int


#: The row an external alert belongs to: its rule and subject.
_Key = tuple[str, str]


def take(session: Session, notification: Notification, rules: Sequence[Rule]) -> IntakeResult:
    """Take a notification in: what it says fires or is over; messages follow with the next evaluation.

    `rules`: the declared rules, with `EXTERNAL_RULE` among them. Safe to repeat.
    """
    # Two notifications at once about an alert that is new would each make its row, and one be lost.
    session.execute(Lock.ALERT_INTAKE.until_commit())
    terms = terms_in_force(session, rules)
    by_key: dict[_Key, list[ExternalAlert]] = defaultdict(list)
    for each in notification.alerts:
        if key := _key_of(each, rules, terms):
            by_key[key].append(each)
    known = {(alert.rule, alert.subject): alert for alert in lock_subjects(session, list(by_key))}
    now = database_clock(session)
    changes = []
    for (rule, subject), alerts in by_key.items():
        before = known.get((rule, subject)) or AlertRecord(rule=rule, subject=subject, severity=terms[rule].severity)
        changes.append(_decide(before, alerts, terms[rule], now))
    written = write_changes(session, changes, now)
    ended = [replace(each.after, id=number) for number, each in written.items() if _resolves(each)]
    deliveries.conclude(session, ended)
    return _result(notification, by_key, list(written.values()), len(ended))


def _resolves(change: AlertChange) -> bool:
    return change.is_transition and change.after.state is AlertState.RESOLVED


def _result(
    notification: Notification,
    by_key: Mapping[_Key, Sequence[ExternalAlert]],
    written: Sequence[AlertChange],
    resolved_count: int,
) -> IntakeResult:
    taken = sum(map(len, by_key.values()))
    fired_count = sum(each.after.episode != each.before.episode for each in written)
    result = IntakeResult(
        received_count=len(notification.alerts) + notification.unreadable_count, fired_count=fired_count,
        resolved_count=resolved_count, repeated_count=max(0, len(by_key) - fired_count - resolved_count),
        noted_count=len(notification.alerts) - taken, unreadable_count=notification.unreadable_count,
        truncated_count=notification.truncated_count,
    )  # fmt: skip
    level = log.warning if notification.truncated_count else log.info
    level("external_alerts_taken", **result)
    return result


def _key_of(alert: ExternalAlert, rules: Sequence[Rule], terms: Mapping[str, RuleTerms]) -> _Key | None:
    """The row of an alert; None where it is only noted."""
    rule = next((each for each in rules if alert_name(each) == alert.name), None)
    if rule is None and alert.severity is None:
        return None
    if rule is not None and (rule.measure is not None or rule.name in MEASURED_OTHERWISE):
        log.debug("external_alert_measured_here", rule=rule.name, is_firing=alert.is_firing)
        return None
    name, subject = (rule.name, _values(alert)) if rule else (EXTERNAL_RULE, _name_and_labels(alert))
    return (name, subject) if name in terms and terms[name].is_enabled else None


def _values(alert: ExternalAlert) -> str:
    """What an alert of a rule of TDS is about: an entity, a pool."""
    values = [value for name, value in alert.labels.items() if name not in _OF_PROMETHEUS and value]
    return one_line(" ".join(values), LONGEST_SUBJECT)


def _name_and_labels(alert: ExternalAlert) -> str:
    labels = (f"{name}={value}" for name, value in alert.labels.items() if value)
    return one_line(" ".join((alert.name, *labels)), LONGEST_SUBJECT)


def _decide(before: AlertRecord, alerts: Sequence[ExternalAlert], terms: RuleTerms, now: datetime) -> AlertChange:
    remembered = before.detail.get(MEMBERS) if is_active(before) else None
    members: dict[str, Any] = dict(remembered) if isinstance(remembered, Mapping) else {}
    for each in alerts:
        _apply(members, each)
    if members:
        speaking = max((each for each in alerts if each.is_firing), key=_rank, default=None)
        return _fire(before, speaking, members, terms, now)
    if not is_active(before):
        return AlertChange(before=before, after=before)
    return _over(before, terms, now, reason="Prometheus says that it is over")


def _rank(alert: ExternalAlert) -> int:
    return _RANK[alert.severity or AlertSeverity.WARNING]


def _apply(members: dict[str, Any], alert: ExternalAlert) -> None:
    """Put one alert among those that fire, or take it away. An end before its beginning belongs to an earlier time."""
    began_at = _moment(members.get(alert.key))
    if alert.is_firing:
        if alert.key in members or len(members) < MOST_MEMBERS:
            severity = alert.severity or AlertSeverity.WARNING
            members[alert.key] = {"severity": severity.value, "starts_at": _iso(alert.starts_at)}
    elif not (began_at and alert.ends_at and alert.ends_at < began_at):
        members.pop(alert.key, None)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(member: Any) -> datetime | None:
    text = member.get("starts_at") if isinstance(member, Mapping) else None
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _fire(
    before: AlertRecord, alert: ExternalAlert | None, members: Mapping[str, Any], terms: RuleTerms, now: datetime
) -> AlertChange:
    detail = {name: value for name, value in before.detail.items() if name != MEMBERS}
    says = before.summary
    if alert is not None:
        says = alert.says
        detail = {"alertname": alert.name, "labels": dict(alert.labels), "link": alert.link or None}
    severity = terms.severity
    if before.rule == EXTERNAL_RULE:
        severity = max((AlertSeverity(each["severity"]) for each in members.values()), key=_RANK.__getitem__)
    reading = RuleValue(value=len(members), says=says, subject=before.subject, detail={**detail, MEMBERS: members})
    return _without_value(meet(before, reading, _at_once(terms, severity), now))


def _over(before: AlertRecord, terms: RuleTerms, now: datetime, *, reason: str) -> AlertChange:
    """It ends at once, or where it flaps when it stays off for long enough."""
    off = replace(before, seen_at=now, detail={**before.detail, MEMBERS: {}})
    change = end(off, _at_once(terms, before.severity), now)
    return replace(change, before=before, reason=reason if change.after.state is AlertState.RESOLVED else None)


def _at_once(terms: RuleTerms, severity: AlertSeverity) -> RuleTerms:
    """Prometheus has waited already, by its own `for` and `keep_firing_for`."""
    return replace(terms, severity=severity, for_seconds=0, keep_seconds=0)


def _without_value(change: AlertChange) -> AlertChange:
    return replace(change, after=replace(change.after, value=None))


def go_on(alert: AlertRecord, terms: RuleTerms, now: datetime) -> AlertChange:
    """What time does to an external alert between messages: acknowledgements expire, flapping calms down, and an alert
    that Alertmanager repeats no longer ends.
    """
    if not is_active(alert):
        return AlertChange(before=alert, after=alert)
    if alert.seen_at and now - alert.seen_at >= LONGEST_SILENCE:
        hours = LONGEST_SILENCE // timedelta(hours=1)
        return end(alert, terms, now, reason=f"not heard of for {hours} hours: Alertmanager would have repeated it")
    at_once = _at_once(terms, alert.severity)
    if not alert.detail.get(MEMBERS):
        return end(alert, at_once, now)
    reading = RuleValue(value=1, says=alert.summary, subject=alert.subject, detail=alert.detail)
    change = _without_value(meet(alert, reading, at_once, now))
    return replace(change, after=replace(change.after, seen_at=alert.seen_at))
