"""Charts: the labels of an axis tell its values apart, gaps stay gaps, and titles cannot become markup."""

import re

import pytest

from tds_api.pages.common.charts import Mark, Series, time_chart

HOURS = ["2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", "2026-11-20T12:00:00Z", "2026-11-20T13:00:00Z"]


def drawn(values: list[float | None], **more: object) -> str:
    return str(time_chart([Series("line", list(zip(HOURS, values, strict=True)))], title="T", **more))


@pytest.mark.parametrize("values", [[99.0, 100.0, 99.5, 99.2], [99.9, 100.0, 99.95, 100.0], [0.0, 3.0, 2.0, 1.0]])
def test_labels_of_the_axis_tell_its_values_apart(values: list[float | None]) -> None:
    labels = re.findall(r'<text x="2"[^>]*>([^<]+)</text>', drawn(values, least=None))
    assert len(labels) == len(set(labels)) == 4


def test_where_nothing_was_measured_no_line_is_drawn() -> None:
    chart = drawn([1.0, 2.0, None, 3.0])
    assert chart.count("<polyline") == 1 and chart.count("<circle") == 1


def test_a_mark_stands_where_its_time_is_and_its_title_is_text() -> None:
    chart = drawn(
        [1.0, 2.0, 3.0, 4.0], marks=[Mark(HOURS[1], "<b>x</b>", "bad"), Mark("2026-11-21T00:00:00Z", "later")]
    )
    assert "&lt;b&gt;x&lt;/b&gt;" in chart and "later" not in chart


def labels(*values: float) -> list[str]:
    """The numbers beside the lines of a chart, from the bottom."""
    chart = str(time_chart([Series("line", list(zip(HOURS, values, strict=False)))], title="T", least=None))
    return re.findall(r'<text x="2" y="[\d.]+">([^<]*)</text>', chart)


def test_numbers_at_the_side_differ_or_stand_once() -> None:
    assert labels(3_941_200, 3_941_200) == ["3.941M", "", "", ""]
    assert labels(3_941_200, 3_944_200) == ["3.941M", "3.942M", "3.943M", "3.944M"]
    assert labels(0, 3_000_000) == ["0", "1M", "2M", "3M"]
    assert labels(0, 450) == ["0", "150", "300", "450"]
