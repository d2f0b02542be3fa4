"""Alerts for messages of tests, and a channel of an address without a database."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from cryptography.fernet import Fernet

from tds_core.alerts.channels.channel_secrets import ChannelSecrets, locked, new_secrets
from tds_core.alerts.channels.sending import OpenChannel, open_channel
from tds_core.alerts.messages import AlertMessage, MessageItem, compose
from tds_core.crypto import Vault

NOW = datetime(2026, 11, 29, 7, 30, tzinfo=UTC)
VAULT = Vault(Fernet.generate_key().decode())


def item(alert_id: int = 12, **changed: Any) -> MessageItem:
    """An alert that fires since twenty minutes before NOW."""
    given: dict[str, Any] = {
        "alert_id": alert_id, "rule": "queue_backlog", "title": "Work waits", "subject": "product",
        "severity": "critical", "state": "firing", "kind": "firing", "since": NOW - timedelta(minutes=20),
        "value": 5201.0, "says": "5,201 work items wait.", "cause": "Zoho answers slowly.",
        "automatic": "Workers go on.", "command": "tds queue stats", "runbook": "docs/runbooks/queue_backlog.md",
        "reason": "new",
    }  # fmt: skip
    return MessageItem(**{**given, **changed})


def message(*items: MessageItem, with_detail: bool = False, base_url: str = "https://tds.example.com") -> AlertMessage:
    """A message of alerts; of one critical alert when none are given."""
    return compose(
        items or [item()], message_id="018f3c1e-5f6a-7c2b-9d10-aabbccddeeff", installation="acme", base_url=base_url,
        with_detail=with_detail, at=NOW,
    )  # fmt: skip


def resolved(*, alert_id: int = 12, **changed: Any) -> MessageItem:
    """The end of an alert."""
    return item(alert_id, **{"kind": "resolved", "state": "resolved", "ended": NOW, "reason": "", **changed})


def channel(address: str, *, secrets: ChannelSecrets | None = None, signed: bool = False) -> OpenChannel:
    """A channel of an address, locked and opened as a stored one."""
    stored = locked(VAULT, secrets or new_secrets(address, is_signed=signed))
    return open_channel(SimpleNamespace(id=7, name="ops", locked=stored, with_detail=False), VAULT)
