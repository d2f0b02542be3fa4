"""Showing nothing: for programs, which get one JSON object at the end."""

import time

from tds_api.cli.demo.figures import Figures, Load
from tds_api.cli.demo.stage import Stage


class Silence:
    """A show without words."""

    def opening(self, sentence: str) -> None:
        """See `Show`."""

    def step(self, name: str, seconds: float, detail: str) -> None:
        """See `Show`."""

    def ready(self, stage: Stage, seconds: float) -> None:
        """See `Show`."""

    def loading(self, loads: dict[str, Load], expected: dict[str, int]) -> None:
        """See `Show`."""

    def first_record(self, seconds: float) -> None:
        """See `Show`."""

    def loaded(self, seconds: float) -> None:
        """See `Show`."""

    def watch_edits(self, stage: Stage, until: float | None) -> None:  # noqa: ARG002 (others look at it)
        """See `Show`."""
        while until is None or time.monotonic() < until:
            time.sleep(0.2 if until is None else min(0.2, max(0.0, until - time.monotonic())))

    def closing(self, sentence: str) -> None:
        """See `Show`."""

    def closed(self, report: Figures) -> None:
        """See `Show`."""

    def close(self) -> None:
        """See `Show`."""
