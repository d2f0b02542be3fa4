"""Alertmanager's webhook payload (version 4): read into external alerts, whatever is missing from it or too long.

Format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import urlsplit

from tds_core.alerts.text_formatting import one_line
from tds_core.errors import TdsError
from tds_models.alerts import AlertSeverity

MOST_ALERTS = 2000
LONGEST_NAME, LONGEST_LABEL, LONGEST_SAYS, LONGEST_LINK = 100, 120, 500, 500
MOST_LABELS = 30
_SEVERITIES: Final = {
    **dict.fromkeys(("critical", "crit", "page", "fatal", "emergency", "alert", "disaster"), AlertSeverity.CRITICAL),
    **dict.fromkeys(("error", "err", "high", "major"), AlertSeverity.ERROR),
}
#: Of alerts that are not for people: the watchdog that always fires, the alert that inhibits others.
_NOT_FOR_PEOPLE = ("none", "null")
_SAYS = ("summary", "description", "message", "title")


class InvalidNotificationError(TdsError):
    """A body is not a notification of Alertmanager."""

    code = "invalid_notification"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalAlert:
    """One alert of a notification. `key`: names its set of labels. `labels`: without its name and severity, bounded.

    `severity`: None for one that is not for people. `ends_at`: None while it fires.
    """

    name: str
    key: str
    is_firing: bool
    severity: AlertSeverity | None
    labels: Mapping[str, str] = field(default_factory=dict)
    says: str
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What one message of Alertmanager holds. `truncated_count`: alerts that Alertmanager left out (`max_alerts`)."""

    alerts: Sequence[ExternalAlert]
    unreadable_count: int = 0
    truncated_count: int = 0


def read_notification(payload: Any) -> Notification:
    """The alerts of a webhook's body; one without a name is counted as unreadable and keeps no other out.

    Raises `InvalidNotificationError` for what is no notification at all.
    """
    found = payload.get("alerts") if isinstance(payload, Mapping) else None
    if not isinstance(found, list):
        raise InvalidNotificationError("A notification of Alertmanager is a JSON object with a list `alerts`.")
    if len(found) > MOST_ALERTS:
        raise InvalidNotificationError(
            f"A notification has at most {MOST_ALERTS:,} alerts: set max_alerts in webhook_configs, and group_by."
        )
    truncated = payload.get("truncatedAlerts")
    alerts = [each for each in map(_alert, found) if each is not None]
    return Notification(
        alerts=alerts,
        unreadable_count=len(found) - len(alerts),
        truncated_count=truncated if isinstance(truncated, int) and 0 < truncated < 2**31 else 0,
    )


def _alert(value: Any) -> ExternalAlert | None:
    labels = _texts(value.get("labels")) if isinstance(value, Mapping) else {}
    name = one_line(labels.get("alertname", ""), LONGEST_NAME)
    if not name:
        return None
    annotations = _texts(value.get("annotations"))
    ends_at = _moment(value.get("endsAt"))
    status = value.get("status")
    says = next((annotations[each] for each in _SAYS if annotations.get(each)), name)
    shown = {
        one_line(each, LONGEST_LABEL): one_line(labels[each], LONGEST_LABEL)
        for each in sorted(labels)[:MOST_LABELS]
        if each not in ("alertname", "severity")
    }
    return ExternalAlert(
        name=name,
        key=_key(labels),
        is_firing=status == "firing" if status in ("firing", "resolved") else ends_at is None,
        severity=_severity(labels.get("severity", "")),
        labels=shown,
        says=one_line(says, LONGEST_SAYS) or name,
        starts_at=_moment(value.get("startsAt")),
        ends_at=ends_at,
        link=_link(annotations.get("runbook_url")) or _link(value.get("generatorURL")),
    )


def _texts(value: Any) -> dict[str, str]:
    """The texts of an object of texts; whatever else it holds is left out."""
    if not isinstance(value, Mapping):
        return {}
    return {key: each for key, each in value.items() if isinstance(key, str) and isinstance(each, str)}


def _key(labels: Mapping[str, str]) -> str:
    """A digest of all labels: of two alerts that differ in one only, each has its own."""
    spelled = "\0".join(f"{name}\0{labels[name]}" for name in sorted(labels))
    return blake2b(spelled.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _severity(label: str) -> AlertSeverity | None:
    wanted = label.strip().lower()
    return None if wanted in _NOT_FOR_PEOPLE else _SEVERITIES.get(wanted, AlertSeverity.WARNING)


def _moment(value: Any) -> datetime | None:
    """A moment of RFC 3339; None without one, and for Go's zero time, which stands for none."""
    try:
        moment = datetime.fromisoformat(value)
        at = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return at if at.year > 1 else None


def _link(value: Any) -> str:
    """An address a person can open; "" for what is none, or has a password in it."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        is_open = parts is not None and parts.scheme in ("http", "https") and parts.hostname and not parts.password
    except ValueError:
        return ""
    return one_line(value, LONGEST_LINK) if is_open and len(value) <= LONGEST_LINK else ""
