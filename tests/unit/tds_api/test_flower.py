"""Flower's memory is bounded, and an operator's own bound counts."""

import subprocess
import sys

import pytest

from tds_api.flower import MOST_TASKS

#: In a process of its own, as Flower starts: what it has not imported by then it does not know.
STARTED = """
from tds_api.flower import bound_memory
bound_memory()
from flower.command import apply_options
from tornado.options import options
apply_options("flower", {given!r})
print(options.max_tasks)
"""


@pytest.mark.parametrize(("given", "kept"), [([], MOST_TASKS), (["--max-tasks=77"], 77)])
def test_flower_keeps_fewer_tasks_than_its_own_default_unless_told(given: list[str], kept: int) -> None:
    script = STARTED.format(given=given)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) == kept < 100_000
