"""Event payloads: the body of a change event, and the signed headers that Standard Webhooks defines.

A body is made from an entry of the history alone, so every attempt sends the same bytes.
"""

import base64
import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

import msgspec

TEST = "subscription.test"
PREFIX = "whsec_"
SECRET_BYTES = 32


class HistoryEntry(TypedDict):
    """The columns of the history that an event shows. `changes`: by field, the values before and after."""

    source: str
    entity: str
    source_id: str
    version: int
    operation: str
    changes: Mapping[str, tuple[Any, Any]]
    recorded_at: datetime
    source_modified_at: datetime | None
    correlation_id: str


def message_id(key: str, entry_id: int, *, replay: int = 0) -> str:
    """The `webhook-id` of an event: the same at every attempt, another in every replay."""
    return f"msg_{key}_{entry_id}" + (f"_r{replay}" if replay else "")


def body_of(entry: HistoryEntry, *, fields: Collection[str] = ()) -> bytes:
    """The body of the event for an entry of the history; with `fields`, only changes of those."""
    changes = {
        name: {"before": before, "after": after}
        for name, (before, after) in entry["changes"].items()
        if not fields or name in fields
    }
    modified_at = entry["source_modified_at"]
    return msgspec.json.encode(
        {
            "type": f"{entry['entity']}.{entry['operation']}",
            "timestamp": _iso_utc(entry["recorded_at"]),
            "data": {
                "entity": entry["entity"],
                "source": entry["source"],
                "source_id": entry["source_id"],
                "version": entry["version"],
                "operation": entry["operation"],
                "changes": changes,
                "source_modified_at": _iso_utc(modified_at) if modified_at else None,
                "correlation_id": entry["correlation_id"],
            },
        }
    )


def test_body(subscription: str, *, at: datetime) -> bytes:
    """The body of a test event, which only shows that events arrive."""
    return msgspec.json.encode({"type": TEST, "timestamp": _iso_utc(at), "data": {"subscription": subscription}})


def _iso_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def new_secret() -> str:
    """A random secret, spelled as receivers get it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(keys: Sequence[str], *, message_id: str, at: int, body: bytes) -> Mapping[str, str]:
    """The headers of a message sent at `at` (seconds since 1970), with a signature by each secret of `keys`.

    Source: Standard Webhooks, https://www.standardwebhooks.com.
    """
    signed = f"{message_id}.{at}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode() for secret in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
