"""Eight processes that ask for all they can get make Zoho refuse nothing, and the urgent never wait for the rest."""

import pytest

from benchmarks import quota

pytestmark = [pytest.mark.acceptance, pytest.mark.long]


def test_eight_hammering_processes_keep_every_limit_and_the_forecast_is_right() -> None:
    found = quota.measure(seconds=200, speed=20, per_day=1000)  # of fewer calls chance alone makes forecasts wrong
    assert found["refused_by_zoho"] == 0, found
    assert 890 <= found["calls_today"] <= 900, "all of the day but the margin"
    assert found["calls_at_once_most"] <= 9
    assert found["calls_backfill"] > 20
    assert found["wait_p95_live_s"] < 2
    assert found["forecast_off_percent"] <= 10
