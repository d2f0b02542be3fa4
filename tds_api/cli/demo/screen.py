"""The demo on a terminal: progress bars for the first load, then a picture that is drawn anew while edits run."""

import contextlib
import time

import requests
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.demo import picture, words
from tds_api.cli.demo.figures import Figures, Load
from tds_api.cli.demo.glimpse import Watcher
from tds_api.cli.demo.stage import Stage
from tds_api.cli.output import terminal

DRAWN_EVERY_SECONDS = 0.5


class Screen:
    """A show on a terminal."""

    def __init__(self) -> None:
        self._console = terminal(highlight=False)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def opening(self, sentence: str) -> None:
        """See `Show`."""
        self._console.print(f"[bold]TDS demo[/]  {escape(sentence)}")

    def step(self, name: str, seconds: float, detail: str) -> None:
        """See `Show`."""
        self._console.print(f"[green]✓[/] {name:<14} [dim]{seconds:5.1f} s  {escape(detail)}[/]", soft_wrap=True)

    def ready(self, stage: Stage, seconds: float) -> None:
        """See `Show`."""
        self._console.print(f"\n[bold]Everything runs[/] after {seconds:.1f} s.")
        for name, address in words.addresses(stage):
            self._console.print(f"  {name:<10} [cyan]{escape(address)}[/]", soft_wrap=True)
        self._console.print("\n[bold]First load[/]")

    def loading(self, loads: dict[str, Load], expected: dict[str, int]) -> None:
        """See `Show`."""
        if self._bars is None:
            columns = (TextColumn("  {task.description:<16}"), BarColumn(), TextColumn("{task.fields[told]}"))
            self._bars = Progress(*columns, console=self._console)
            self._tasks = {name: self._bars.add_task(name, told="") for name in expected}
            self._bars.start()
        for name, load in loads.items():
            # What is listed first and read whole afterwards has two halves to go.
            listed = expected[name] if load.is_listed else load.listed_count
            total, done = expected[name], listed
            if load.whole_count is not None:
                total, done = 2 * expected[name], listed + min(load.whole_count, expected[name])
            told = words.progress(load, expected[name])
            self._bars.update(self._tasks[name], total=total, completed=done, told=told)

    def first_record(self, seconds: float) -> None:
        """See `Show`."""
        self._console.print(f"  [green]{words.first_record(seconds)}[/]")

    def loaded(self, seconds: float) -> None:
        """See `Show`."""
        self._stop_bars()
        self._console.print(f"  All loaded in {seconds:.1f} s.\n")

    def watch_edits(self, stage: Stage, until: float | None) -> None:
        """See `Show`."""
        watcher = Watcher(stage)
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            while until is None or time.monotonic() < until:
                with contextlib.suppress(SQLAlchemyError, requests.RequestException):
                    width, height = self._console.size
                    live.update(picture.draw(watcher.look(), stage, width=width, height=height), refresh=True)
                time.sleep(DRAWN_EVERY_SECONDS)

    def closing(self, sentence: str) -> None:
        """See `Show`."""
        self._console.print(f"[dim]{escape(sentence)}[/]")

    def closed(self, report: Figures) -> None:
        """See `Show`."""
        colour = "red" if report["problems"] else "green"
        for sentence in words.outcome(report):
            self._console.print(f"[{colour}]{escape(sentence)}[/]")

    def close(self) -> None:
        """See `Show`."""
        self._stop_bars()

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
