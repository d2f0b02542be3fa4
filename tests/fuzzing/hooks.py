"""What schemathesis must know beside the description: a key stands for one request, and how lines of JSON are sent."""

import json
from typing import Any
from uuid import uuid4

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """The same Idempotency-Key with another request is refused, and rightly so: give each good one its own."""
    if case.headers and "Idempotency-Key" in case.headers and case.meta and case.meta.generation.mode.is_positive:
        case.headers["Idempotency-Key"] = uuid4().hex


@schemathesis.serializer("application/x-ndjson")
def lines(context: Any, value: Any) -> bytes:
    """A line for each value."""
    return json.dumps(value).encode("utf-8", "replace")
