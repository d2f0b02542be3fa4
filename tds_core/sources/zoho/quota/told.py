"""What an answer of Zoho tells about its limits: the headers of the day's quota, and which limit refused a call."""

from collections.abc import Mapping

import msgspec

DAY_SPENT, TOO_MANY_AT_ONCE, MINUTE_BLOCKED = 45, 1070, 44
_LONGEST_RESET_SECONDS = 2 * 86_400.0


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one answer told; what it left out is `None`. `code` is 0 unless a limit refused the call."""

    code: int = 0
    limit: int | None = None
    remaining: int | None = None
    reset_seconds: float | None = None
    wait_seconds: float | None = None


NOTHING = Told()


def read(status: int, headers: Mapping[str, str], code: int) -> Told:
    """What an answer tells. Header names may have any case; numbers that make no sense count as absent."""
    given = {name.lower(): value for name, value in headers.items()}
    limit, remaining = _number(given.get("x-rate-limit-limit")), _number(given.get("x-rate-limit-remaining"))
    reset = _number(given.get("x-rate-limit-reset"))
    sensible = limit is not None and remaining is not None and limit > 0 and 0 <= remaining <= limit
    return Told(
        code=_refused_by(status, code),
        limit=int(limit) if sensible and limit is not None else None,
        remaining=int(remaining) if sensible and remaining is not None else None,
        reset_seconds=reset if reset is not None and 0 <= reset <= _LONGEST_RESET_SECONDS else None,
        wait_seconds=_number(given.get("retry-after")),
    )


def _refused_by(status: int, code: int) -> int:
    """The limit that refused, whatever the status. A 429 that does not say which is taken for the minute's."""
    if code in (DAY_SPENT, TOO_MANY_AT_ONCE, MINUTE_BLOCKED):
        return code
    return MINUTE_BLOCKED if status == 429 else 0


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if number >= 0 and number < float("inf") else None
