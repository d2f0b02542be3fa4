"""Tonight ends at eight in the morning of the installation's zone."""

from datetime import UTC, datetime

import pytest

from tds_api.pages.common.silence_durations import end_of_night


@pytest.mark.parametrize(("now", "morning"), [
    ("2026-11-29T18:00", "2026-11-30T05:00"),
    ("2026-11-29T22:30", "2026-11-30T05:00"),
    ("2026-11-30T01:59", "2026-11-30T05:00"),
    ("2026-11-30T02:00", "2026-12-01T05:00"),
])  # fmt: skip
def test_tonight_ends_at_the_next_morning_also_after_midnight(now: str, morning: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert end_of_night("Asia/Baghdad", at) == datetime.fromisoformat(morning).replace(tzinfo=UTC)
