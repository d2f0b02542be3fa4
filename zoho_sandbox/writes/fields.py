"""How values in a written body are read: text, numbers, dates and custom fields, or Zoho's refusal."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from zoho_sandbox.api_errors import invalid_value

Reader = Callable[[str, Any], Any]


def text(name: str, value: Any) -> str:
    if isinstance(value, str) and len(value) <= 2000:
        return value
    if value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    raise invalid_value(name)


def needed_text(name: str, value: Any) -> str:
    written = text(name, value)
    if not written.strip():
        raise invalid_value(name)
    return written


def number(name: str, value: Any) -> float:
    """Any number, also when written as text."""
    if isinstance(value, bool):
        raise invalid_value(name)
    try:
        return round(float(value), 6)
    except (TypeError, ValueError):
        raise invalid_value(name) from None


def amount(name: str, value: Any) -> float:
    """A number that is not below nought."""
    read = number(name, value)
    if read < 0:
        raise invalid_value(name)
    return read


def mark(name: str, value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise invalid_value(name)
    return value


def whole(name: str, value: Any) -> int:
    return int(number(name, value))


def day(name: str, value: Any) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise invalid_value(name) from None


def choice(*allowed: str) -> Reader:
    """A reader of one of a few words."""

    def read(name: str, value: Any) -> str:
        if value not in allowed:
            raise invalid_value(name)
        return str(value)

    return read


def read_fields(readers: Mapping[str, Reader], payload: Mapping[str, Any]) -> dict[str, Any]:
    """The known fields of `payload`, read; what Zoho does not know it does not mind."""
    return {name: readers[name](name, value) for name, value in payload.items() if name in readers}


def read_custom(api_name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The organisation's custom field, given directly or among `custom_fields`."""
    if api_name in payload:
        return {"cf": text(api_name, payload[api_name])}
    written = payload.get("custom_fields")
    if written is None:
        return {}
    if not isinstance(written, list):
        raise invalid_value("custom_fields")
    for entry in written:
        if isinstance(entry, dict) and api_name in (entry.get("api_name"), f"cf_{str(entry.get('label', '')).lower()}"):
            return {"cf": text(api_name, entry.get("value"))}
    return {}
