"""The cost of an act is said in calls and as a share of a day, where a day has a limit."""

from tds_api.pages.common.answer import Answer
from tds_api.pages.common.call_costs import call_costs

QUOTA = Answer("/zoho/quota", 200, {"days": [{"api": "books", "limit": 2000}, {"api": "inventory", "limit": 0}]})


def test_calls_are_a_share_of_a_day_that_has_a_limit() -> None:
    assert call_costs({"inventory": 3, "books": 50}, {"books": 2}, QUOTA) == [
        {"api": "books", "least": 2, "most": 50, "share": 2.5},
        {"api": "inventory", "least": 3, "most": 3, "share": None},
    ]


def test_without_a_known_quota_no_share_is_said() -> None:
    unknown = Answer("/zoho/quota", 503, problem={"detail": "Redis is away"})
    assert call_costs({"books": 50}, {}, unknown) == [{"api": "books", "least": 50, "most": 50, "share": None}]
