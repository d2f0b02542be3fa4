"""An event as its receiver reads it: made from an entry of the history alone, so a second sending says the same."""

from collections.abc import Collection, Mapping
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
