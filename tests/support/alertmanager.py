"""Notifications as Alertmanager sends them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

#: What Go writes for no time.
NO_TIME = "0001-01-01T00:00:00Z"


def alert_of_prometheus(
    name: str, *, ended: datetime | None = None, started: datetime | None = None, summary: str = "", **labels: str
) -> dict[str, Any]:
    """One alert of a notification; it fires unless it ended."""
    return {
        "status": "resolved" if ended else "firing",
        "labels": {"alertname": name, **labels},
        "annotations": {"summary": summary or f"{name} fires"},
        "startsAt": (started or datetime(2026, 11, 29, 8, 0, tzinfo=UTC)).isoformat().replace("+00:00", "Z"),
        "endsAt": ended.isoformat().replace("+00:00", "Z") if ended else NO_TIME,
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": "1a30ba71cca2921f",
    }


def notification(*alerts: Mapping[str, Any]) -> dict[str, Any]:
    """A webhook's body."""
    firing = any(each["status"] == "firing" for each in alerts)
    return {
        "receiver": "tds", "status": "firing" if firing else "resolved", "alerts": list(alerts), "groupLabels": {},
        "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager:9093", "version": "4",
        "groupKey": "{}:{}", "truncatedAlerts": 0,
    }  # fmt: skip
