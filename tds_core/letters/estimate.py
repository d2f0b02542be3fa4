"""How long a batch takes: bound by its throttle, by the calls of a minute and by what is left of the day."""

import math
from collections.abc import Mapping

from tds_core.sources.traffic import Traffic
from tds_core.sources.zoho.quota.usage import DayUsage, Usage

DAY_SECONDS = 86_400.0


def seconds_for(calls: Mapping[str, int], *, letter_count: int, per_minute: int, usage: Usage | None) -> float | None:
    """Seconds until the last of `letter_count` letters was read, with `calls` by API at the class of operators.

    `usage`: the quota now; without it only the throttle is known. `None` when the quota leaves such calls nothing.
    """
    waits = [letter_count * 60 / per_minute]
    if usage is None:
        return waits[0]
    minute = usage.minute.ceilings.get(Traffic.OPERATOR, 0) if usage.minute.limit else 0
    if usage.minute.limit and not minute:
        return None
    if minute:
        waits.append(sum(calls.values()) * 60 / minute)
    for api, count in calls.items():
        day = usage.days.get(api)
        if day is None or not day.level.limit:
            continue
        wait = _wait_for_days(day, count, usage)
        if wait is None:
            return None
        waits.append(wait)
    return max(waits)


def _wait_for_days(day: DayUsage, count: int, usage: Usage) -> float | None:
    """Seconds until the day begins whose calls are enough for the last of `count`."""
    ceiling = day.level.ceilings.get(Traffic.OPERATOR, 0)
    over = count - max(0, ceiling - day.level.used)
    if over <= 0:
        return 0.0
    if not ceiling:
        return None
    to_reset = max(0.0, (day.resets_at - usage.at).total_seconds())
    return to_reset + (math.ceil(over / ceiling) - 1) * DAY_SECONDS
