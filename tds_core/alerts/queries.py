"""Queries of alerts: lists, one alert with its story, rules as they are in force, and counts for metrics."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, cast

from sqlalchemy import RowMapping, Text, func, select, text
from sqlalchemy import cast as cast_to
from sqlalchemy.orm import Session

from tds_core.alerts.rule import Rule
from tds_core.alerts.rule_terms import TermsVersion, newest_versions, terms_in_force
from tds_core.alerts.silences import Silence, silences_now
from tds_core.errors import NotFoundError
from tds_core.pagination import Page, read_page
from tds_models.alerts import ACTIVE_STATES, Alert, AlertChannel, AlertDelivery, AlertTransition

_ALERT = Alert.__table__.columns
_TRANSITION = AlertTransition.__table__.columns
_DELIVERY = AlertDelivery.__table__.columns


class AlertRow(TypedDict):
    """An alert as it is stored; see `tds_models.alerts.Alert`. `silenced_by`: the silences that mute it now."""

    id: int
    rule: str
    subject: str
    state: str
    version: int
    severity: str
    episode: int
    value: float | None
    summary: str
    detail: dict[str, Any]
    since_at: datetime | None
    seen_at: datetime | None
    fired_at: datetime | None
    resolved_at: datetime | None
    changed_at: datetime
    recent_firings: list[datetime]
    acknowledged_by: str | None
    acknowledged_at: datetime | None
    acknowledged_until: datetime | None
    note: str | None
    muted_by: str | None
    silenced_by: list[int]


class TransitionRow(TypedDict):
    """A change of an alert's state."""

    id: int
    alert_id: int
    rule: str
    subject: str
    episode: int
    from_state: str
    to_state: str
    severity: str
    value: float | None
    changed_by: str
    reason: str | None
    at: datetime


class DeliveryRow(TypedDict):
    """A message about one alert to one channel. `tries`: of each attempt, error and seconds.

    `alert_id`: None for a test of the channel, whose rule and subject are "".
    """

    id: int
    alert_id: int | None
    rule: str
    subject: str
    episode: int
    channel_id: int
    channel: str
    kind: str
    number: int
    state: str
    reason: str | None
    message_id: str | None
    attempts: int
    tries: list[dict[str, Any]]
    next_attempt_at: datetime
    created_at: datetime
    sent_at: datetime | None


class RuleAdvice(TypedDict):
    """What a rule says about its alerts: the likely cause, what TDS does by itself, the command to run."""

    title: str
    unit: str
    cause: str
    automatic: str
    command: str


class AlertStory(TypedDict):
    """An alert with its newest transitions and deliveries, the newest first, and the alerts it mutes as their cause.

    `advice`: of its rule; None for a rule this version no longer has.
    """

    alert: AlertRow
    advice: RuleAdvice | None
    transitions: list[TransitionRow]
    deliveries: list[DeliveryRow]
    mutes: list[str]


class DeclaredTerms(TypedDict):
    """The terms a rule is declared with."""

    severity: str
    threshold: float
    for_seconds: int
    keep_seconds: int


class RuleRow(TypedDict):
    """A rule as it is declared, its terms in force, and how many of its alerts are active."""

    name: str
    title: str
    unit: str
    is_below: bool
    is_measured: bool
    cause: str
    automatic: str
    command: str
    muted_by: Sequence[str]
    declared: DeclaredTerms
    terms: TermsVersion
    active_count: int


def alerts(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    rule: str | None = None,
    severity: str | None = None,
    state: str | None = None,
    is_active: bool | None = None,
) -> Page[AlertRow]:
    """A page of alerts, the newest change first. Raises `InvalidCursorError`."""
    statement = select(*_ALERT)
    for name, value in (("rule", rule), ("severity", severity), ("state", state)):
        if value is not None:
            statement = statement.where(_ALERT[name] == value)
    if is_active is not None:
        active = _ALERT["state"].in_([each.value for each in ACTIVE_STATES])
        statement = statement.where(active if is_active else ~active)
    page = read_page(session, statement, keys=[_ALERT["changed_at"], _ALERT["id"]], cursor=cursor, limit=limit)
    on_now = silences_now(session)
    return Page([_alert_row(row, on_now) for row in page.items], page.next_cursor)


def alert(session: Session, alert_id: int) -> AlertRow:
    """One alert. Raises NotFoundError."""
    row = session.execute(select(*_ALERT).where(_ALERT["id"] == min(alert_id, 2**63 - 1))).mappings().first()
    if row is None:
        raise NotFoundError(f"There is no alert {alert_id}; see: tds alerts list")
    return _alert_row(row, silences_now(session))


def _alert_row(row: RowMapping | Mapping[str, Any], on_now: Sequence[Silence]) -> AlertRow:
    """The row with its silences, and without what its detail keeps for TDS itself."""
    covering = [each.id for each in on_now if each.covers(row["rule"], row["subject"], row["severity"])]
    detail = {name: value for name, value in row["detail"].items() if not name.startswith("_")}
    return cast("AlertRow", {**row, "detail": detail, "silenced_by": covering})


_DELIVERIES = """
select d.id, d.alert_id, a.rule, a.subject, d.episode, d.channel_id, c.name as channel, d.kind, d.number, d.state,
       d.reason, cast(d.message_id as text) as message_id, d.attempts, d.tries, d.next_attempt_at, d.created_at,
       d.sent_at
from tds_alert_deliveries d join tds_alerts a on a.id = d.alert_id join tds_alert_channels c on c.id = d.channel_id
"""
_OF_ALERT = text(f"{_DELIVERIES} where d.alert_id = :id order by d.id desc limit :limit")
_MUTED = text("""
select rule || case when subject = '' then '' else ' ' || subject end from tds_alerts
where muted_by = :rule and state in ('pending', 'firing', 'acknowledged', 'flapping') order by 1 limit 100
""")


def story(session: Session, alert_id: int, declared: Sequence[Rule], *, limit: int = 100) -> AlertStory:
    """An alert with its newest transitions and deliveries. Raises NotFoundError."""
    row = alert(session, alert_id)
    changes = select(*_TRANSITION).where(_TRANSITION["alert_id"] == alert_id)
    changes = changes.order_by(_TRANSITION["id"].desc()).limit(limit)
    return {
        "alert": row,
        "advice": next((_advice(rule) for rule in declared if rule.name == row["rule"]), None),
        "transitions": [cast("TransitionRow", dict(each)) for each in session.execute(changes).mappings()],
        "deliveries": [
            cast("DeliveryRow", dict(each))
            for each in session.execute(_OF_ALERT, {"id": alert_id, "limit": limit}).mappings()
        ],
        "mutes": list(session.execute(_MUTED, {"rule": row["rule"]}).scalars()),
    }


def _advice(rule: Rule) -> RuleAdvice:
    return RuleAdvice(
        title=rule.title, unit=rule.unit, cause=rule.cause, automatic=rule.automatic, command=rule.command
    )  # fmt: skip


def transitions(
    session: Session, *, cursor: str | None = None, limit: int = 50, rule: str | None = None
) -> Page[TransitionRow]:
    """A page of the history of all alerts, the newest first. Raises `InvalidCursorError`."""
    statement = select(*_TRANSITION)
    if rule is not None:
        statement = statement.where(_TRANSITION["rule"] == rule)
    return read_page(session, statement, keys=[_TRANSITION["id"]], cursor=cursor, limit=limit)


_OF_CHANNEL = (
    select(
        *(each for each in _DELIVERY if each.key not in ("lease_token", "leased_until", "message_id")),
        cast_to(_DELIVERY["message_id"], Text).label("message_id"),
        func.coalesce(_ALERT["rule"], "").label("rule"), func.coalesce(_ALERT["subject"], "").label("subject"),
        AlertChannel.name.label("channel"),
    )
    .outerjoin(Alert, _ALERT["id"] == _DELIVERY["alert_id"])
    .join(AlertChannel, AlertChannel.id == _DELIVERY["channel_id"])
)  # fmt: skip


def deliveries(
    session: Session, channel_id: int, *, cursor: str | None = None, limit: int = 50, state: str | None = None
) -> Page[DeliveryRow]:
    """A page of the messages of a channel, the newest first. Raises `InvalidCursorError`."""
    statement = _OF_CHANNEL.where(_DELIVERY["channel_id"] == channel_id)
    if state is not None:
        statement = statement.where(_DELIVERY["state"] == state)
    return read_page(session, statement, keys=[_DELIVERY["id"]], cursor=cursor, limit=limit)


_COUNTS = text("""
select rule, severity, state, count(*) as count from tds_alerts
where state in ('pending', 'firing', 'acknowledged', 'flapping', 'no_data') group by 1, 2, 3 order by 1, 2, 3
""")
_DELIVERY_COUNTS = text("""
select c.name as channel, d.state, count(*) as count
from tds_alert_deliveries d join tds_alert_channels c on c.id = d.channel_id
where d.created_at > now() - interval '1 day' and d.kind <> 'test' group by 1, 2 order by 1, 2
""")


class AlertCount(TypedDict):
    """How many alerts of a rule are in a state."""

    rule: str
    severity: str
    state: str
    count: int


class DeliveryCount(TypedDict):
    """How many deliveries of the last day to a channel are in a state."""

    channel: str
    state: str
    count: int


def alert_counts(session: Session) -> list[AlertCount]:
    """The numbers of alerts that are active, or cannot be measured, by rule, severity and state."""
    return [cast("AlertCount", dict(row)) for row in session.execute(_COUNTS).mappings()]


def delivery_counts(session: Session) -> list[DeliveryCount]:
    """The numbers of the last day's deliveries by channel and state."""
    return [cast("DeliveryCount", dict(row)) for row in session.execute(_DELIVERY_COUNTS).mappings()]


def rules(session: Session, declared: Sequence[Rule]) -> list[RuleRow]:
    """Rules with the terms in force, in the order they are declared."""
    terms_in_force(session, declared)
    versions = newest_versions(session)
    active: dict[str, int] = {}
    for row in alert_counts(session):
        if row["state"] in ACTIVE_STATES:
            active[row["rule"]] = active.get(row["rule"], 0) + row["count"]
    return [
        {
            "name": rule.name, "title": rule.title, "unit": rule.unit, "is_below": rule.below,
            "is_measured": rule.measure is not None, "cause": rule.cause, "automatic": rule.automatic,
            "command": rule.command, "muted_by": rule.muted_by,
            "declared": {
                "severity": rule.severity.value, "threshold": rule.threshold, "for_seconds": rule.for_seconds,
                "keep_seconds": rule.keep_seconds,
            },
            "terms": versions[rule.name], "active_count": active.get(rule.name, 0),
        }
        for rule in declared
    ]  # fmt: skip
