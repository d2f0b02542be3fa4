"""An event as its receiver reads it: made from an entry of the history alone, so a second sending says the same.

Signatures as Standard Webhooks defines them, so that receivers verify with the library they already have.
"""

import base64
import hmac
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

TEST = "subscription.test"


def message_id(key: str, entry_id: int, *, replay: int = 0) -> str:
    """The `webhook-id` of an event: the same at every attempt, another in every replay."""
    return f"msg_{key}_{entry_id}" + (f"_r{replay}" if replay else "")


def body_of(entry: Mapping[str, Any], *, fields: Collection[str] = ()) -> bytes:
    """The body of the event an entry of the history is; with `fields`, it tells of no others."""
    changes = entry["changes"]
    told = {name: _change(each) for name, each in changes.items() if not fields or name in fields}
    modified_at = entry["source_modified_at"]
    return msgspec.json.encode(
        {
            "type": f"{entry['entity']}.{entry['operation']}",
            "timestamp": spelled(entry["recorded_at"]),
            "data": {
                "entity": entry["entity"],
                "source": entry["source"],
                "source_id": entry["source_id"],
                "version": entry["version"],
                "operation": entry["operation"],
                "changes": told,
                "source_modified_at": spelled(modified_at) if modified_at else None,
                "correlation_id": entry["correlation_id"],
            },
        }
    )


def test_body(subscription: str, *, at: datetime) -> bytes:
    """The body of an event that says nothing but that events arrive."""
    return msgspec.json.encode({"type": TEST, "timestamp": spelled(at), "data": {"subscription": subscription}})


def spelled(moment: datetime) -> str:
    """A moment in ISO 8601, UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _change(pair: Any) -> dict[str, Any]:
    before, after = pair
    return {"before": before, "after": after}


PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret nobody had before, as receivers are given it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(given: Sequence[str], *, message_id: str, at: int, body: bytes) -> Mapping[str, str]:
    """The headers that vouch for a message sent at `at` (seconds since 1970): a signature by each secret."""
    signed = f"{message_id}.{at}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode() for secret in given]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(f"v1,{each}" for each in signatures),
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX))
