"""The play: all acts in order, watched by whoever shows them."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import psutil

from tds_api.cli.up import StopRequested
from tds_lab.comparison.comparison import compare
from tds_lab.demo import phases, stats
from tds_lab.demo.report import RunResult, make_report
from tds_lab.environment import Environment
from tds_lab.sandbox import faults, rules


class Display(Protocol):
    """Somebody who shows the play: a screen, plain lines, or nobody at all."""

    def opening(self, sentence: str) -> None:
        """What is about to be seen."""

    def step(self, name: str, seconds: float, detail: str) -> None:
        """One program runs, or one preparation is done, after so many seconds."""

    def ready(self, stage: Environment, seconds: float) -> None:
        """All programs run."""

    def loading(self, loads: dict[str, stats.Load], expected: dict[str, int]) -> None:
        """How far the first load of each entity is, and how many records there are to load."""

    def first_record(self, seconds: float) -> None:
        """The mirror holds its first record, so many seconds after the command began."""

    def loaded(self, seconds: float) -> None:
        """The first load is over."""

    def watch_edits(self, stage: Environment, until: float | None) -> None:
        """Show what happens until the monotonic time `until`, or for ever."""

    def closing(self, sentence: str) -> None:
        """One step of the end."""

    def closed(self, report: stats.Figures) -> None:
        """The outcome."""

    def close(self) -> None:
        """Leave the terminal as it was, however it ended."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What is played: edits a second, for how long (None: until stopped), and how many webhooks are lost."""

    rate: float
    seed: int
    drop: float
    seconds: float | None


class DemoRun:
    """One performance on a running stage; `expected` says how many records of each entity there are at first."""

    def __init__(self, stage: Environment, show: Display, script: RunPlan, *, expected: dict[str, int]) -> None:
        self._stage, self._show, self._script = stage, show, script
        self._expected = expected
        self._timings: dict[str, float | None] = {}
        self._first_record_at: datetime | None = None

    def run(self) -> stats.Figures:
        """Perform, also when asked to stop while edits run; returns the report."""
        stage, show, script = self._stage, self._show, self._script
        self._timings["ready"] = since_start()
        show.ready(stage, since_start())
        with self._timed("first_load"):
            phases.load(stage, self._progress)
        show.loaded(self._timings["first_load"] or 0.0)
        settings = stage.stack.settings
        stage.stand_in.set_rules(list(rules(stage.stack.urls["webhooks"], settings.zoho_webhook_secret)))
        stage.stand_in.set_faults(faults(script.drop))
        with stage.engine.connect() as connection:
            began_at = stats.clock(connection)
        stage.stand_in.start_edits(rate=script.rate, seed=script.seed)
        with self._timed("edits"), contextlib.suppress(StopRequested):
            show.watch_edits(stage, None if script.seconds is None else time.monotonic() + script.seconds)
        return self._close(began_at)

    def _close(self, began_at: datetime) -> stats.Figures:
        stage, show = self._stage, self._show
        edit_count = stage.stand_in.stop_edits()
        show.closing(f"Edits stopped after {edit_count:,}. Waiting until all is delivered and settled …")
        with self._timed("quiet"):
            phases.settle(stage)
        with stage.engine.connect() as connection:
            ended_at = stats.clock(connection)
        show.closing("Quiet. Now the scheduled reads, which see what webhooks did not tell …")
        with self._timed("sweep"):
            swept = phases.sweep(stage, also_full=self._script.drop > 0)
        show.closing("Comparing every record, field by field …")
        with self._timed("comparison"), stage.engine.connect() as connection:
            comparison = compare(connection, stage.stand_in)
        self._timings["total"] = since_start()
        played = RunResult(
            edit_count=edit_count,
            edits_began_at=began_at,
            edits_ended_at=ended_at,
            swept=swept,
            comparison=comparison,
            timings={name: None if value is None else round(value, 2) for name, value in self._timings.items()},
        )
        with stage.engine.connect() as connection:
            report = make_report(connection, stage.stand_in.state(), played)
        show.closed(report)
        return report

    def _progress(self, loads: dict[str, stats.Load], first_record_at: datetime | None) -> None:
        if first_record_at is not None and self._first_record_at is None:
            self._first_record_at = first_record_at
            seconds = first_record_at.timestamp() - psutil.Process().create_time()
            self._timings["first_record"] = seconds
            self._show.first_record(seconds)
        # A list is read with an overlap, so that nothing slips between two pages: those rows come twice.
        shown = {
            name: dataclasses.replace(load, listed_count=min(load.listed_count, self._expected[name]))
            for name, load in loads.items()
            if name in self._expected
        }
        self._show.loading(shown, self._expected)

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._timings[name] = time.monotonic() - began


def since_start() -> float:
    """Seconds since this command was started."""
    return datetime.now(UTC).timestamp() - psutil.Process().create_time()
