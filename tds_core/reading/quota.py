"""The quota as it is shown: what is used and left, by class, and how it goes on."""

from typing import Any

from tds_core.sources.zoho.quota.forecast import Forecast
from tds_core.sources.zoho.quota.usage import Level


def shown(forecast: Forecast) -> dict[str, Any]:
    """One plain document, for the API and for `--json`."""
    usage = forecast.usage
    return {
        "at": usage.at,
        "minute": _level(usage.minute),
        "concurrent": _level(usage.concurrent),
        "blocked_until": usage.blocked_until,
        "lowered_until": usage.lowered_until,
        "waiting": usage.waiting,
        "days": [
            {
                "api": day.api,
                **_level(day.level),
                "by_class": day.by_class,
                "told_limit": day.told_limit,
                "resets_at": day.resets_at,
                "reset_told": day.reset_told,
                "spent_until": day.spent_until,
                "calls_per_hour": ahead.calls_per_hour,
                "runs_out_at": ahead.runs_out_at,
                "used_at_reset": ahead.used_at_reset,
            }
            for day, ahead in zip(usage.days.values(), forecast.days, strict=True)
        ],
        "backlogs": [
            {name: getattr(each, name) for name in ("api", "call_count", "calls_per_day", "ends_at")}
            for each in forecast.backlogs
        ],
    }


def _level(level: Level) -> dict[str, Any]:
    return {"used": level.used, "limit": level.limit, "left": level.left, "ceilings": level.ceilings}
