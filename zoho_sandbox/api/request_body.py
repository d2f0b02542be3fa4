"""The body of a request that writes: JSON, or a form field `JSONString`, or Zoho's refusal."""

from typing import Any

import msgspec
from flask import request

from zoho_sandbox.api_errors import broken_json


def written_payload() -> dict[str, Any]:
    """The object a caller wrote."""
    raw = request.get_data()
    if request.mimetype == "application/x-www-form-urlencoded" or not raw:
        raw = request.values.get("JSONString", "").encode()
    try:
        payload = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise broken_json() from None
    if not isinstance(payload, dict):
        raise broken_json()
    return payload
