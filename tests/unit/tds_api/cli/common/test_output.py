"""How commands speak to people."""

import pytest

from tds_api.cli.common.output import cell, distance


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s ago"),
        (119, "119 s ago"),
        (121, "2 min ago"),
        (-600, "in 10 min"),
        (7200, "2 h ago"),
        (-172_800, "in 2 d"),
    ],
)
def test_times_are_reported_as_distances(seconds: float, said: str) -> None:
    assert distance(seconds) == said


def test_nothing_is_reported_as_a_dash_and_numbers_with_their_thousands() -> None:
    assert [cell(value) for value in (None, "", 0, 1234, True, 0.25)] == ["-", "-", "0", "1,234", "yes", "0.2"]
