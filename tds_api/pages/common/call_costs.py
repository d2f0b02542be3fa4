"""What an act costs in calls to Zoho, by product, and the share of today's calls that this is."""

from collections.abc import Mapping
from typing import Any, TypedDict

from tds_api.pages.common.answer import Answer


class CallCost(TypedDict):
    """Calls of one product, in full batches and one by one. `share`: percent of a day's calls; None without a limit."""

    api: str
    least: int
    most: int
    share: float | None


def call_costs(most: Mapping[str, int], least: Mapping[str, int], quota: Answer) -> list[CallCost]:
    """The cost of calls by product; `quota` is the answer of the route of the quota."""
    days = {day["api"]: day for day in quota.data["days"]} if quota else {}
    return [
        {"api": api, "least": least.get(api, count), "most": count, "share": _share(count, days.get(api))}
        for api, count in sorted(most.items())
    ]


def _share(calls: int, day: Mapping[str, Any] | None) -> float | None:
    return calls / day["limit"] * 100 if day and day["limit"] else None
