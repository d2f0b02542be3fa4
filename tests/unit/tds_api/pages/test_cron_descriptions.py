"""Schedules are said in words where short words are true, and as they are written elsewhere."""

import pytest

from tds_api.pages.cron_descriptions import describe_schedule

WORDS = {
    "every:1": "every second",
    "every:30": "every 30 seconds",
    "every:60": "every minute",
    "every:90": "every 90 seconds",
    "every:900": "every 15 minutes",
    "every:3600": "every hour",
    "every:86400": "every day",
    "* * * * *": "every minute",
    "*/15 * * * *": "every 15 minutes",
    "0 * * * *": "every hour at :00",
    "5 */6 * * *": "every 6 hours at :05 UTC",
    "0 3 * * *": "daily at 03:00 UTC",
    "30 3,15 * * *": "daily at 03:30, 15:30 UTC",
    "0 3 * * * Asia/Baghdad": "daily at 03:00 Asia/Baghdad",
    "0 3 * * 0": "Sunday at 03:00 UTC",
    "0 3 * * 7": "Sunday at 03:00 UTC",
    "0 9 * * 1-5": "Monday to Friday at 09:00 UTC",
    "0 9 * * 1,4": "Monday, Thursday at 09:00 UTC",
    "0 3 1 * *": "on day 1 of each month at 03:00 UTC",
}
#: Short words would say another thing, or there are none.
AS_WRITTEN = (
    "every:0", "every:x", "*/0 * * * *", "*/7 * * * *", "0 */5 * * *", "0 3 1 1 *", "0 3 1 * 1", "0 3-5 * * *",
    "1-5 * * * *", "0 3 L * *", "0 3 * * 1#2", "0 3 * * 9", "nonsense", "0 3 * *",
)  # fmt: skip


@pytest.mark.parametrize(("rhythm", "words"), WORDS.items())
def test_a_schedule_in_words(rhythm: str, words: str) -> None:
    assert describe_schedule(rhythm) == words


@pytest.mark.parametrize("rhythm", AS_WRITTEN)
def test_what_has_no_short_words_stays_as_it_is_written(rhythm: str) -> None:
    assert describe_schedule(rhythm) == rhythm
