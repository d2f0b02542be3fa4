"""Flower's memory is bounded, and an operator's own bound counts."""

from collections.abc import Iterator

import pytest
from flower.command import apply_options
from tornado.options import options

from tds_api.flower import MOST_TASKS, bound_memory


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = options.max_tasks
    yield
    options.max_tasks = before


def test_flower_keeps_fewer_tasks_than_its_own_default_unless_told() -> None:
    bound_memory()
    assert options.max_tasks == MOST_TASKS < 100_000
    apply_options("flower", ["--max-tasks=77"])
    assert options.max_tasks == 77
