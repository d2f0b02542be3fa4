"""Back-off delays grow by a factor and stay below a bound."""

from tds_core.backoff import backoff_seconds


def test_a_delay_doubles_with_every_count_up_to_the_longest() -> None:
    assert [backoff_seconds(count, first=2, longest=30) for count in range(6)] == [2, 4, 8, 16, 30, 30]


def test_a_delay_stays_finite_however_often_work_has_failed() -> None:
    assert backoff_seconds(10_000, first=5, longest=300, factor=4) == 300
