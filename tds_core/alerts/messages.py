"""Messages of alerts: what is sent of one alert, or of many at once, in words that every channel can show.

A text from outside (a breaker's error, the name of a subject) is one bounded line without control characters and
secrets before a template sees it; templates escape it once more for their markup.
"""

import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tds_core.alerts.rendering import rendered
from tds_core.alerts.text_formatting import detail_lines, one_line, shown_detail, shown_time, span
from tds_core.config.settings import Settings
from tds_models.alerts import AlertMessageKind, AlertSeverity, AlertState

#: Where an alert is shown, below TDS_PUBLIC_URL.
ALERT_PATH = "/dashboard/alerts/{id}"
#: Alerts of one message that its JSON holds; the others are counted.
MOST_IN_DATA = 200
LONGEST_TITLE, LONGEST_SENTENCE, LONGEST_NAME = 150, 500, 80
MOST_MUTED_TITLES = 5
#: The type of a test message in JSON.
TEST, TEST_STATE = "alert.test", "test"
#: In place of an id: there is no row that could be acknowledged or shown.
NO_ID = 0

_KINDS = tuple(AlertMessageKind)
_RANK = {severity.value: rank for rank, severity in enumerate(AlertSeverity)}
_COLORS = {AlertSeverity.WARNING: "#d69e2e", AlertSeverity.ERROR: "#dd6b20", AlertSeverity.CRITICAL: "#c53030"}
_COLOR_OVER = "#2f855a"
_BADGE_OF_TEST = "Test"
_COUNTED = {
    AlertMessageKind.FIRING: "firing", AlertMessageKind.REMINDER: "still firing", AlertMessageKind.RESOLVED: "over"
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageItem:
    """One alert of a message. `alert_id`: NO_ID without a row. `since`, `ended`: aware; `ended`: None while it fires.

    `says`: the alert in words. `cause`, `automatic`, `command`: of its rule. `runbook`: its path or address; may be
    empty. `detail`: of the reading. `reason`: why it is sent now ("new", "escalation", "reminder", "silence ended").
    `muted_count`, `muted_titles`: the alerts it mutes as their cause.
    """

    alert_id: int
    rule: str
    title: str
    subject: str
    severity: str
    state: str
    kind: str
    since: datetime
    ended: datetime | None = None
    value: float | None = None
    says: str
    cause: str
    automatic: str
    command: str
    runbook: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    muted_count: int = 0
    muted_titles: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAlert:
    """One alert as templates show it: every text is one clean line. `link`: "" without TDS_PUBLIC_URL.

    `badge`: how bad it is, or that it is over. `times`: since when, and for how long.
    """

    alert_id: int
    title: str
    subject: str
    severity: AlertSeverity
    kind: AlertMessageKind
    badge: str
    says: str
    times: str
    reason: str
    detail: Mapping[str, Any]
    details: tuple[str, ...]
    muted: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRule:
    """The alerts of one rule and its words. `acknowledge`, `silence`: the commands for the first of its alerts."""

    rule: str
    title: str
    cause: str
    automatic: str
    command: str
    runbook: str
    acknowledge: str
    silence: str
    alerts: tuple[ShownAlert, ...]
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """A message, ready for every kind of channel. `id`: the same at every attempt. `severity`: the worst of it.

    `kind`: firing if anything in it newly fires, resolved only if all of it is over. `data`: what webhooks get as JSON.
    """

    id: str
    kind: AlertMessageKind
    severity: AlertSeverity
    title: str
    installation: str
    color: str
    rules: tuple[ShownRule, ...]
    text: str = ""
    html: str = ""
    markdown: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def compose(
    items: Sequence[MessageItem],
    *,
    message_id: str,
    installation: str,
    base_url: str,
    with_detail: bool,
    at: datetime | None = None,
) -> AlertMessage:
    """Compose one message of one or more alerts. Raises ValueError without any.

    `installation`: its name, for people. `base_url`: TDS_PUBLIC_URL; "" for no links. `with_detail`: show texts of
    readings too, not only ids and counts. `at`: now, to which durations are counted.
    """
    if not items:
        raise ValueError("A message has at least one alert.")
    now = at or datetime.now(UTC)
    ordered = sorted(items, key=lambda item: (_KINDS.index(AlertMessageKind(item.kind)), -_RANK[item.severity]))
    shown = [_shown(item, base_url=base_url.rstrip("/"), with_detail=with_detail, at=now) for item in ordered]
    pairs = list(zip(ordered, shown, strict=True))
    rules = tuple(
        _rule([pair for pair in pairs if pair[0].rule == rule]) for rule in dict.fromkeys(i.rule for i in ordered)
    )
    kind, severity = shown[0].kind, max((alert.severity for alert in shown), key=_RANK.__getitem__)
    message = AlertMessage(
        id=message_id, kind=kind, severity=severity, title=_title(shown, rules, kind, severity),
        installation=one_line(installation, LONGEST_NAME), rules=rules,
        color=_COLOR_OVER if kind == AlertMessageKind.RESOLVED else _COLORS[severity],
    )  # fmt: skip
    return replace(
        message, text=rendered("message.txt", message), html=rendered("message.html", message),
        markdown=rendered("message.md", message), data=_body(message, pairs, at=now),
    )  # fmt: skip


def message_of_test(
    *, channel: str, message_id: str, installation: str, at: datetime, is_over: bool = False
) -> AlertMessage:
    """The message that only shows that a channel works. `is_over`: its end, where a test opens something."""
    kind = AlertMessageKind.RESOLVED if is_over else AlertMessageKind.FIRING
    item = MessageItem(
        alert_id=NO_ID, rule="test", title="Message to the channel", subject=channel, severity=AlertSeverity.WARNING,
        state=TEST_STATE, kind=kind, since=at, ended=at if is_over else None, reason="somebody tests this channel",
        says="messages of alerts arrive here", cause="Nothing is wrong; this is a test.",
        automatic="Nothing.", command="tds alerts channels list",
    )  # fmt: skip
    message = compose([item], message_id=message_id, installation=installation, base_url="", with_detail=False, at=at)
    return replace(message, data={**message.data, "type": TEST})


def installation_name(settings: Settings) -> str:
    """What messages call this installation: TDS_INSTALLATION, or the name of the machine."""
    return settings.installation or socket.gethostname()


def _shown(item: MessageItem, *, base_url: str, with_detail: bool, at: datetime) -> ShownAlert:
    severity, kind = AlertSeverity(item.severity), AlertMessageKind(item.kind)
    is_over = kind == AlertMessageKind.RESOLVED
    ended = item.ended or at
    lasted = span((ended - item.since).total_seconds())
    detail = shown_detail(item.detail, with_text=with_detail)
    return ShownAlert(
        alert_id=item.alert_id, title=one_line(item.title, LONGEST_NAME), subject=one_line(item.subject, LONGEST_NAME),
        severity=severity, kind=kind, says=one_line(item.says, LONGEST_SENTENCE),
        badge=_badge(item),
        times=f"since {shown_time(item.since)}, "
        + (f"over at {shown_time(ended)} after {lasted}" if is_over else f"for {lasted}"),
        reason=one_line(item.reason, LONGEST_SENTENCE), detail=detail, details=() if is_over else detail_lines(detail),
        muted="" if is_over else _muted(item), link=_link(base_url, item.alert_id),
    )  # fmt: skip


def _link(base_url: str, alert_id: int) -> str:
    return base_url + ALERT_PATH.format(id=alert_id) if base_url and alert_id != NO_ID else ""


def _badge(item: MessageItem) -> str:
    if item.state == TEST_STATE:
        return _BADGE_OF_TEST
    if item.kind == AlertMessageKind.RESOLVED:
        return "Over"
    return item.severity.upper() + (", flapping" if item.state == AlertState.FLAPPING else "")


def _muted(item: MessageItem) -> str:
    if not item.muted_count:
        return ""
    titles = [one_line(title, LONGEST_NAME) for title in item.muted_titles[:MOST_MUTED_TITLES]]
    others = item.muted_count - len(titles)
    names = ", ".join([*titles, f"{others} more"] if titles and others > 0 else titles)
    alerts = "one alert" if item.muted_count == 1 else f"{item.muted_count} alerts"
    return f"Mutes {alerts} that it causes" + (f": {names}" if names else "")


def _rule(pairs: Sequence[tuple[MessageItem, ShownAlert]]) -> ShownRule:
    first, alerts = pairs[0][0], tuple(alert for _, alert in pairs)
    return ShownRule(
        rule=first.rule, title=alerts[0].title, cause=one_line(first.cause, LONGEST_SENTENCE), alerts=alerts,
        automatic=one_line(first.automatic, LONGEST_SENTENCE), command=one_line(first.command, LONGEST_SENTENCE),
        runbook=one_line(first.runbook, LONGEST_SENTENCE),
        acknowledge=f"tds alerts ack {first.alert_id}" if first.alert_id != NO_ID else "",
        silence=f'tds alerts silence {first.alert_id} --for 2h --reason "..."',
        is_over=all(alert.kind == AlertMessageKind.RESOLVED for alert in alerts),
    )  # fmt: skip


def _title(
    alerts: Sequence[ShownAlert], rules: Sequence[ShownRule], kind: AlertMessageKind, severity: AlertSeverity
) -> str:
    beginning = {
        AlertMessageKind.FIRING: severity.upper(),
        AlertMessageKind.REMINDER: f"Still {severity.upper()}",
        AlertMessageKind.RESOLVED: "Over",
    }[kind]
    if len(alerts) == 1:
        beginning = alerts[0].badge if alerts[0].badge == _BADGE_OF_TEST else beginning
        about = alerts[0].title + (f": {alerts[0].subject}" if alerts[0].subject else "")
        return one_line(f"{beginning}: {about}", LONGEST_TITLE)
    about = rules[0].title if len(rules) == 1 else f"{len(rules)} kinds of alerts"
    counts = Counter(alert.kind for alert in alerts)
    changes = ", ".join(f"{counts[each]} {_COUNTED[each]}" for each in _KINDS if counts[each])
    return one_line(f"{beginning}: {about}: {changes}", LONGEST_TITLE)


def _body(message: AlertMessage, pairs: Sequence[tuple[MessageItem, ShownAlert]], *, at: datetime) -> dict[str, Any]:
    return {
        "type": f"alert.{message.kind}",
        "timestamp": _iso(at),
        "data": {
            "message_id": message.id, "installation": message.installation, "severity": message.severity.value,
            "title": message.title, "alert_count": len(pairs),
            "alerts": [_body_of_alert(item, alert) for item, alert in pairs[:MOST_IN_DATA]],
        },
    }  # fmt: skip


def _body_of_alert(item: MessageItem, alert: ShownAlert) -> dict[str, Any]:
    return {
        "id": str(item.alert_id), "rule": item.rule, "title": alert.title, "subject": alert.subject,
        "severity": item.severity, "state": item.state, "kind": item.kind, "since": _iso(item.since),
        "ended": _iso(item.ended) if item.ended else None, "value": item.value, "says": alert.says,
        "cause": one_line(item.cause, LONGEST_SENTENCE), "automatic": one_line(item.automatic, LONGEST_SENTENCE),
        "command": one_line(item.command, LONGEST_SENTENCE), "runbook": one_line(item.runbook, LONGEST_SENTENCE),
        "reason": alert.reason, "muted_count": item.muted_count, "detail": dict(alert.detail),
        "link": alert.link or None,
    }  # fmt: skip


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
