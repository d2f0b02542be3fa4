"""A token bucket promises: a burst at once, then so many a second, and never more than the burst."""

import pytest

from tds_api.http import token_bucket
from tds_api.http.token_bucket import TokenBucket


def test_a_burst_passes_and_then_so_many_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(token_bucket.time, "monotonic", lambda: now)
    bucket = TokenBucket(burst=3, per_second=2)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now += 0.5
    assert [bucket.take(), bucket.take()] == [True, False]
    now += 3600
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
