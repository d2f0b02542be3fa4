"""The steps of a story in words: one line for each, and one more for each thing that belongs to it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

_LONGEST_VALUE = 60
Detail = Mapping[str, Any]


def told(step: Mapping[str, Any]) -> str:
    """One step in words."""
    return _TELLERS[step["kind"]](step["detail"], step["at"])


def short(value: Any) -> str:
    """A value on one line, cut where it is long."""
    if isinstance(value, datetime | Decimal | str):
        text = str(value)
    else:
        text = "nothing" if value is None else msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _event(detail: Detail, at: datetime) -> str:
    taken = f" after {_milliseconds((detail['verdict_at'] - at).total_seconds())}" if detail["verdict_at"] else ""
    body = "complete body" if detail["complete"] else "partial body"
    reason = f" ({detail['verdict_reason']})" if detail["verdict_reason"] else ""
    again = (
        f"; came {detail['duplicate_count']} times more, which counted as this one" if detail["duplicate_count"] else ""
    )
    verdict = detail["verdict"].replace("_", "-") if detail["verdict"] else "in flight"
    return f"webhook {detail['id']}: {detail['event']}, {body}: {verdict}{taken}{reason}{again}"


def _refused(detail: Detail, _: datetime) -> str:
    origin = f" from {detail['remote_address']}" if detail["remote_address"] else ""
    return f"webhook refused with {detail['status']}: {detail['reason']}{origin}; it named this record, unproven"


def _attempt(detail: Detail, _: datetime) -> str:
    error = f": {detail['error_class']}, {detail['error']}" if detail["error_class"] else ""
    return (
        f"attempt {detail['attempt']} {detail['outcome']}{error} on {detail['worker'] or 'nobody'}{_exchange(detail)}"
    )


def _exchange(detail: Detail) -> str:
    exchange = detail["exchange"]
    if not exchange:
        return ""
    answer = "no answer" if exchange["status"] is None else f"{exchange['status']}"
    code = f", code {exchange['code']}" if exchange["code"] else ""
    return f"\n  GET {exchange['path']}: {answer}{code} in {_milliseconds(exchange['seconds'])}"


def _change(detail: Detail, _: datetime) -> str:
    by = f"{detail['origin']} {detail['origin_id'] or ''}".strip()
    if detail["run_mode"]:
        by += f" ({detail['run_mode']}, asked by {detail['run_requested_by']})"
    after = detail["after_seconds"]
    came = f", {_milliseconds(after)} after it came" if after is not None and detail["origin"] == "webhook" else ""
    changes = msgspec.json.decode(detail["changes"], type=dict[str, tuple[Any, Any]])
    lines = [f"  {name}: {_pair(*pair)}" for name, pair in changes.items()]
    return "\n".join([f"version {detail['version']} {detail['operation']} by {by}{came}", *lines])


def _pair(before: Any, after: Any) -> str:
    return _value(after) if before is None else f"{_value(before)} → {_value(after)}"


def _value(value: Any) -> str:
    return short("nothing" if value is None else msgspec.json.encode(value).decode())


def _letter(detail: Detail, _: datetime) -> str:
    lines = [f"dead letter {detail['id']}, given up after {detail['attempts']} attempts: "
             f"{detail['error_class']}, {detail['error']}"]  # fmt: skip
    lines += [f"  {each['action']} by {each['operator']} {_at(each['acted_at'])}" for each in detail["actions"]]
    lines += [
        f"  retried by {each['requested_by']} {_at(each['requested_at'])}: {each['outcome'] or 'under way'}"
        for each in detail["revivals"]
    ]
    closed = f"  {detail['resolution']} {_at(detail['resolved_at'])}" if detail["resolved_at"] else "  still open"
    return "\n".join([*lines, closed])


def _run(detail: Detail, _: datetime) -> str:
    reason = f" ({detail['end_reason']})" if detail["end_reason"] else ""
    return f"run {detail['id']}, {detail['mode']}, asked by {detail['requested_by']}: {detail['state']}{reason}"


def _action(detail: Detail, _: datetime) -> str:
    status = f" {detail['status']}" if detail["status"] else ""
    error = f" ({detail['error']})" if detail["error"] else ""
    return f"{detail['caller']}: {detail['operation']} {detail['subject']}: {detail['outcome']}{status}{error}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"


def _at(moment: datetime | str) -> str:
    """At a moment, to the second; inside JSON it is text."""
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"at {at:%Y-%m-%d %H:%M:%S}"


_TELLERS: Mapping[str, Callable[[Detail, datetime], str]] = {
    "event": _event,
    "refused": _refused,
    "attempt": _attempt,
    "change": _change,
    "dead_letter": _letter,
    "run": _run,
    "action": _action,
}
