"""The evaluation: measures every rule, moves the alerts on, and plans the messages. Runs every 15 seconds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_core.alerts import deliveries, external_alerts, silences
from tds_core.alerts.alert_store import alert_records, is_active, write_changes
from tds_core.alerts.delivery_plan import AFTERMATH, plan, rank_of
from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.metric_samples import SampleWriter
from tds_core.alerts.rule import Rule, RuleTerms, RuleValue
from tds_core.alerts.rule_terms import terms_in_force
from tds_core.alerts.state_machine import AlertChange, AlertRecord, end, mark_unmeasured, meet, resolve
from tds_core.database_errors import is_away
from tds_core.observability import heartbeats
from tds_core.queue.items import database_clock
from tds_models.alerts import AlertSeverity, AlertState

log = structlog.get_logger(__name__)

EVERY_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one look at all rules found: by rule, its readings, or why there are none."""

    readings: Mapping[str, Sequence[RuleValue]]
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """How many alerts are active, and how many changed their state."""

    active_count: int
    transition_count: int


class Evaluator:
    """Evaluates the rules; its state only keeps samples from being stored twice."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._samples = SampleWriter()

    def evaluate(self, facts: AlertFacts) -> EvaluationResult:
        """Measure and move on. Raises SQLAlchemyError when the database is away; nothing is lost then."""
        with facts.scope() as session:
            # Before measuring, which takes longer at one time than at another: `for_seconds` would need one more round.
            now = database_clock(session)
            terms = terms_in_force(session, self._rules.values())
        measurement = measure([rule for rule in self._rules.values() if terms[rule.name].is_enabled], facts)
        with facts.scope() as session:
            before = alert_records(session)
            changes = self._mute(self._step(before, measurement, terms, now), before, now)
            written = write_changes(session, changes, now)
            alerts = self._merge(before, written)
            deliveries.conclude(session, [a for a in alerts if a.id in written and a.state is AlertState.RESOLVED])
            self._plan(session, alerts, now)
            self._store_samples(session, measurement, terms, now)
            heartbeats.beat(session, "alerts", rules=len(self._rules))
        transition_count = sum(each.is_transition for each in written.values())
        return EvaluationResult(sum(is_active(alert) for alert in alerts), transition_count)

    def _step(
        self, before: Sequence[AlertRecord], measurement: Measurement, terms: Mapping[str, RuleTerms], now: datetime
    ) -> list[AlertChange]:
        known = {(alert.rule, alert.subject): alert for alert in before}
        changes = {}
        for name, reading in self._met(measurement, terms):
            alert = known.get((name, reading.subject)) or _new(name, reading.subject, terms[name])
            changes[name, reading.subject] = meet(alert, reading, terms[name], now)
        active = {alert.rule for alert in before if is_active(alert)}
        for name, error in measurement.errors.items():
            if name not in active:
                alert = known.get((name, "")) or _new(name, "", terms[name])
                changes[name, ""] = mark_unmeasured(alert, error, now)
        for key, alert in known.items():
            if alert.rule not in terms:
                if is_active(alert):
                    changes[key] = resolve(alert, now, reason="this version of TDS has no such rule")
            elif key not in changes and alert.rule not in measurement.errors:
                changes[key] = self._end(alert, terms[alert.rule], now)
        return list(changes.values())

    def _met(self, measurement: Measurement, terms: Mapping[str, RuleTerms]) -> Iterator[tuple[str, RuleValue]]:
        for name, readings in measurement.readings.items():
            for reading in readings:
                if self._rules[name].is_met(reading.value, terms[name].threshold):
                    yield name, reading

    def _end(self, alert: AlertRecord, terms: RuleTerms, now: datetime) -> AlertChange:
        if not terms.is_enabled:
            return end(alert, terms, now, reason="the rule was switched off")
        if self._rules[alert.rule].measure is None:
            return external_alerts.go_on(alert, terms, now)
        return end(alert, terms, now)

    def _mute(self, changes: Sequence[AlertChange], before: Sequence[AlertRecord], now: datetime) -> list[AlertChange]:
        """Name the causes among the alerts that are active, or were a moment ago."""
        after = {(alert.rule, alert.subject): alert for alert in before}
        after |= {(each.after.rule, each.after.subject): each.after for each in changes}
        causes: dict[str, AlertSeverity] = {}
        for alert in after.values():
            if _may_cause(alert, now):
                causes[alert.rule] = max(alert.severity, causes.get(alert.rule, alert.severity), key=rank_of)
        muted = []
        for each in changes:
            rule = self._rules.get(each.after.rule)
            known = [name for name in (rule.muted_by if rule else ()) if name in causes]
            # The worst, because that is the one most channels are told of; of equals the first that is declared.
            cause = max(known, key=lambda name: rank_of(causes[name]), default=None)
            muted_by = cause if is_active(each.after) else None
            muted.append(replace(each, after=replace(each.after, muted_by=muted_by)))
        return muted

    @staticmethod
    def _merge(before: Sequence[AlertRecord], written: Mapping[int, AlertChange]) -> list[AlertRecord]:
        """The alerts as they are stored now; what was lost to another change is left to the next evaluation."""
        after = {alert.id: alert for alert in before if alert.id is not None}
        after |= {alert_id: replace(each.after, id=alert_id) for alert_id, each in written.items()}
        return list(after.values())

    @staticmethod
    def _plan(session: Session, alerts: Sequence[AlertRecord], now: datetime) -> None:
        on_now = silences.silences_on(silences.open_silences(session, now), now)
        history = deliveries.channel_history(session)
        channels, causes = deliveries.channel_terms(session), deliveries.cause_severities(session)
        deliveries.store(session, plan(alerts, channels, history, on_now, causes=causes, now=now))
        silences.end_with_alerts(session, on_now, alerts)

    def _store_samples(
        self, session: Session, measurement: Measurement, terms: Mapping[str, RuleTerms], now: datetime
    ) -> None:
        values = {
            (name, each.subject): (float(each.value), self._rules[name].is_met(each.value, terms[name].threshold))
            for name, readings in measurement.readings.items()
            for each in readings
        }
        self._samples.write(session, values, measurement.errors, now)


def measure(rules: Sequence[Rule], facts: AlertFacts) -> Measurement:
    """Measure rules one by one. One that fails has an error and keeps no other from being measured.

    Raises SQLAlchemyError when the database is away.
    """
    readings: dict[str, list[RuleValue]] = {}
    errors: dict[str, str] = {}
    for rule in rules:
        if rule.measure is None:
            continue
        try:
            readings[rule.name] = list(rule.measure(facts))
        except Exception as error:
            if isinstance(error, SQLAlchemyError) and is_away(error):
                raise
            errors[rule.name] = f"not measured: {type(error).__name__}"
            log.warning("alert_rule_not_measured", rule=rule.name, error=f"{type(error).__name__}: {error}"[:300])
    return Measurement(readings, errors)


def _new(rule: str, subject: str, terms: RuleTerms) -> AlertRecord:
    return AlertRecord(rule=rule, subject=subject, severity=terms.severity)


def _may_cause(alert: AlertRecord, now: datetime) -> bool:
    return is_active(alert) or bool(alert.resolved_at and now - alert.resolved_at < AFTERMATH)
