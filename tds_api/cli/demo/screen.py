"""The demo on a terminal: progress bars for the first load, then a picture that is drawn anew while edits run."""

import contextlib
import time

import requests
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.demo import picture, words
from tds_api.cli.demo.figures import Figures
from tds_api.cli.demo.glimpse import Watcher
from tds_api.cli.demo.stage import Stage

DRAWN_EVERY_SECONDS = 0.5


class Screen:
    """A show on a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def opening(self, sentence: str) -> None:
        """See `Show`."""
        self._console.print(f"[bold]TDS demo[/]  {escape(sentence)}")

    def step(self, name: str, seconds: float, detail: str) -> None:
        """See `Show`."""
        self._console.print(f"[green]✓[/] {name:<14} [dim]{seconds:5.1f} s  {escape(detail)}[/]", overflow="ellipsis")

    def ready(self, stage: Stage, seconds: float) -> None:
        """See `Show`."""
        self._console.print(f"\n[bold]Everything runs[/] after {seconds:.1f} s.")
        for name, address in words.addresses(stage):
            self._console.print(f"  {name:<10} [cyan]{escape(address)}[/]", soft_wrap=True)
        self._console.print("\n[bold]First load[/]")

    def loading(self, runs: dict[str, tuple[str, int]], expected: dict[str, int]) -> None:
        """See `Show`."""
        if self._bars is None:
            columns = (TextColumn("  {task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bars = Progress(*columns, console=self._console)
            self._tasks = {name: self._bars.add_task(name, total=count) for name, count in expected.items()}
            self._bars.start()
        for name, (state, count) in runs.items():
            is_over = state not in ("queued", "running")
            self._bars.update(self._tasks[name], completed=expected[name] if is_over else count)

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
