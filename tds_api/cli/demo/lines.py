"""The demo in plain lines: for logs, pipes and terminals that can do no more."""

import time

import requests
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.demo import words
from tds_api.cli.demo.figures import Figures, Load
from tds_api.cli.demo.glimpse import Watcher
from tds_api.cli.demo.stage import Stage
from tds_api.cli.output import say

LINE_EVERY_SECONDS = 5.0
PROGRESS_EVERY_SECONDS = 1.0


class Lines:
    """A show in lines on standard output."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def opening(self, sentence: str) -> None:
        """See `Show`."""
        say(sentence)

    def step(self, name: str, seconds: float, detail: str) -> None:
        """See `Show`."""
        say(f"  {name:<14} {seconds:5.1f} s  {detail}")

    def ready(self, stage: Stage, seconds: float) -> None:
        """See `Show`."""
        say(f"Everything runs after {seconds:.1f} s.")
        for name, address in words.addresses(stage):
            say(f"  {name:<10} {address}")

    def loading(self, loads: dict[str, Load], expected: dict[str, int]) -> None:
        """See `Show`."""
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_SECONDS:
            self._told_at = time.monotonic()
            say("  ".join(f"{name} {words.progress(load, expected[name])}" for name, load in loads.items()))

    def first_record(self, seconds: float) -> None:
        """See `Show`."""
        say(words.first_record(seconds))

    def loaded(self, seconds: float) -> None:
        """See `Show`."""
        say(f"The first load took {seconds:.1f} s. Now the stand-in is edited; differences in flight are normal.")

    def watch_edits(self, stage: Stage, until: float | None) -> None:
        """See `Show`."""
        watcher = Watcher(stage)
        while until is None or time.monotonic() < until:
            wait = LINE_EVERY_SECONDS if until is None else min(LINE_EVERY_SECONDS, until - time.monotonic())
            time.sleep(max(0.0, wait))
            try:
                say(words.line(watcher.look()))
            except (SQLAlchemyError, requests.RequestException) as error:
                say(f"        no answer just now ({type(error).__name__})")

    def closing(self, sentence: str) -> None:
        """See `Show`."""
        say(sentence)

    def closed(self, report: Figures) -> None:
        """See `Show`."""
        for sentence in words.outcome(report):
            say(sentence)

    def close(self) -> None:
        """See `Show`."""
