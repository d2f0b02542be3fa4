"""A first load over several of Zoho's days: headers from lists alone, details by themselves, webhooks all the while."""

import pytest

from benchmarks import first_days
from benchmarks.first_days_environment import Plan

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

SMALL = {
    "products": 300,
    "customers": 200,
    "vendors": 10,
    "orders": 150,
    "invoices": 150,
    "payments": 100,
    "bills": 40,
    "credit-notes": 20,
    "adjustments": 20,
    "prices": 200,
}


def test_a_first_load_takes_its_days_and_no_call_too_many() -> None:
    plan = Plan(speed=4_000, per_day=300, edits_per_second=3.0, sizes=SMALL)
    found = first_days.measure(plan, days=6)
    assert found["headers"] >= 1_300
    assert found["list_calls"] <= found["list_calls_least"] + 4, "headers need their lists and nothing else"
    assert found["details_left"] == 0, found
    assert abs(found["day_of_end"] - found["day_named"]) <= 1, found
    assert found["open_before_closed_percent"] > 70
    assert found["details_webhooks_whole_p95_s"] < 5
    assert found["refused_by_zoho"] == 0
