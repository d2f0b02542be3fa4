"""The demo run: all phases in order, shown on a display."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import psutil

from tds_api.cli.up import StopRequested
from tds_lab.comparison.mirror_comparison import compare
from tds_lab.demo import phases, stats
from tds_lab.demo.report import RunResult, make_report
from tds_lab.testbed import Environment
from tds_lab.zoho_stand_in import faults, rules


class Display(Protocol):
    """Shows a demo run: on a screen, in plain lines, or not at all."""

    def opening(self, sentence: str) -> None:
        """The opening sentence."""

    def step(self, name: str, seconds: float, detail: str) -> None:
        """One program runs, or one preparation is done, after so many seconds."""

    def ready(self, environment: Environment, seconds: float) -> None:
        """All programs run."""

    def loading(self, loads: dict[str, stats.Load], expected: dict[str, int]) -> None:
        """How far the first load of each entity is, and how many records there are to load."""

    def first_record(self, seconds: float) -> None:
        """The mirror holds its first record, so many seconds after the command began."""

    def loaded(self, seconds: float) -> None:
        """The first load is over."""

    def watch_edits(self, environment: Environment, until: float | None) -> None:
        """Show what happens until the monotonic time `until`, or for ever."""

    def closing(self, sentence: str) -> None:
        """One step of the end."""

    def closed(self, report: stats.Figures) -> None:
        """The outcome."""

    def close(self) -> None:
        """Leave the terminal as it was, however it ended."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunPlan:
    """Edits a second, for how many seconds (None: until stopped), and the share of webhooks that is lost."""

    rate: float
    seed: int
    drop: float
    seconds: float | None


class DemoRun:
    """One run in a running environment; `expected` has the number of records of each entity at the beginning."""

    def __init__(self, environment: Environment, display: Display, plan: RunPlan, *, expected: dict[str, int]) -> None:
        self._environment, self._display, self._plan = environment, display, plan
        self._expected = expected
        self._timings: dict[str, float | None] = {}
        self._first_record_at: datetime | None = None

    def run(self) -> stats.Figures:
        """Run all phases; a stop request during the edits ends only those. Returns the report."""
        environment, display, plan = self._environment, self._display, self._plan
        self._timings["ready"] = since_start()
        display.ready(environment, since_start())
        with self._timed("first_load"):
            phases.load(environment, self._progress)
        display.loaded(self._timings["first_load"] or 0.0)
        settings = environment.stack.settings
        environment.stand_in.set_rules(list(rules(environment.stack.urls["webhooks"], settings.zoho_webhook_secret)))
        environment.stand_in.set_faults(faults(plan.drop))
        with environment.engine.connect() as connection:
            began_at = stats.clock(connection)
        environment.stand_in.start_edits(rate=plan.rate, seed=plan.seed)
        with self._timed("edits"), contextlib.suppress(StopRequested):
            display.watch_edits(environment, None if plan.seconds is None else time.monotonic() + plan.seconds)
        return self._close(began_at)

    def _close(self, began_at: datetime) -> stats.Figures:
        environment, display = self._environment, self._display
        edit_count = environment.stand_in.stop_edits()
        display.closing(f"Edits stopped after {edit_count:,}. Waiting until all is delivered and settled …")
        with self._timed("quiet"):
            phases.wait_until_quiet(environment)
        with environment.engine.connect() as connection:
            ended_at = stats.clock(connection)
        display.closing("Quiet. Now the scheduled reads, which see what webhooks did not tell …")
        with self._timed("sweep"):
            sweep = phases.sweep(environment, also_full=self._plan.drop > 0)
        display.closing("Comparing every record, field by field …")
        with self._timed("comparison"), environment.engine.connect() as connection:
            comparison = compare(connection, environment.stand_in)
        self._timings["total"] = since_start()
        result = RunResult(
            edit_count=edit_count,
            edits_began_at=began_at,
            edits_ended_at=ended_at,
            swept=sweep,
            comparison=comparison,
            timings={name: None if value is None else round(value, 2) for name, value in self._timings.items()},
        )
        with environment.engine.connect() as connection:
            report = make_report(connection, environment.stand_in.state(), result)
        display.closed(report)
        return report

    def _progress(self, loads: dict[str, stats.Load], first_record_at: datetime | None) -> None:
        if first_record_at is not None and self._first_record_at is None:
            self._first_record_at = first_record_at
            seconds = first_record_at.timestamp() - psutil.Process().create_time()
            self._timings["first_record"] = seconds
            self._display.first_record(seconds)
        # A list is read with an overlap, so that nothing slips between two pages: those rows come twice.
        shown = {
            name: dataclasses.replace(load, listed_count=min(load.listed_count, self._expected[name]))
            for name, load in loads.items()
            if name in self._expected
        }
        self._display.loading(shown, self._expected)

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._timings[name] = time.monotonic() - began


def since_start() -> float:
    """Seconds since this command was started."""
    return datetime.now(UTC).timestamp() - psutil.Process().create_time()
