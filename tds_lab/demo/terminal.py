"""The demo on a terminal: progress bars for the first load, then tables that are redrawn while edits run."""

import contextlib
import time
from collections.abc import Iterable

import requests
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.common.output import terminal
from tds_lab.demo import output
from tds_lab.demo.stats import Figures, Load, Snapshot, Watcher
from tds_lab.testbed import Environment
from tds_models.entities import ENTITIES

WIDE = 110
HIGH = 34


def draw(snapshot: Snapshot, environment: Environment, *, width: int, height: int) -> RenderableType:
    """The tables for a terminal of this size; addresses are included where it is high enough."""
    tables = [_flow(snapshot), _verdicts(snapshot), _queue(snapshot)]
    if width >= WIDE:
        tables.append(_deliveries(snapshot))
    minutes, seconds = divmod(int(snapshot.seconds), 60)
    title = f"edits are running [dim]{minutes}:{seconds:02}[/]"
    parts: list[RenderableType] = [Columns(tables, padding=(0, 3)), "", *_agreement(snapshot)]
    if height >= HIGH:
        parts += ["", _addresses(environment)]
    return Panel(Group(*parts), title=title, subtitle="Ctrl-C stops and compares everything", width=min(width, 130))


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _flow(snapshot: Snapshot) -> Table:
    return _table(
        "flow",
        [
            ("edits", f"{snapshot.edit_count:,}"),
            ("edits/s", f"{snapshot.edits_per_second:.1f}"),
            ("events", f"{snapshot.event_count:,}"),
            ("events/s", f"{snapshot.events_per_second:.1f}"),
            ("latency p50", output.milliseconds(snapshot.latency_ms["p50"])),
            ("latency p95", output.milliseconds(snapshot.latency_ms["p95"])),
            ("API calls", f"{snapshot.api_call_count:,}"),
        ],
    )


def _verdicts(snapshot: Snapshot) -> Table:
    names = ("applied", "unchanged", "superseded", "stale", "deleted", "quarantined", "dead_lettered")
    open_count = snapshot.verdicts.get("none", 0)
    rows = [(name.replace("_", " "), f"{snapshot.verdicts.get(name, 0):,}") for name in names]
    return _table("verdicts", [*rows, ("in flight", f"{open_count:,}")])


def _queue(snapshot: Snapshot) -> Table:
    rows = [(entity, f"{snapshot.queue.get(entity, 0):,}") for entity in ENTITIES]
    return _table(
        "queue",
        [
            *rows,
            ("dead letters", f"{snapshot.dead_letter_count:,}"),
            ("duplicates", f"{snapshot.duplicate_count:,}"),
            ("forged, 401", f"{snapshot.rejected_count:,}"),
        ],
    )


def _deliveries(snapshot: Snapshot) -> Table:
    kinds = snapshot.deliveries["by_kind"]
    rows = [(kind, f"{sum(statuses.values()):,}") for kind, statuses in kinds.items()]
    return _table("deliveries", [*rows, ("dropped", f"{snapshot.deliveries['dropped_count']:,}")])


def _agreement(snapshot: Snapshot) -> list[RenderableType]:
    sample = snapshot.sample
    good = not sample.off_by and not sample.differing_count
    mark = "[green]agree[/]" if good else "[yellow]in flight[/]"
    counts = ", ".join(f"{here:,} of {there:,} {output.TITLES[name]}" for name, (here, there) in sample.counts.items())
    return [
        f"[bold]mirror and Zoho now:[/] {mark}  {escape(output.agreement(sample))}",
        f"[dim]{counts}[/]",
        "[dim]While edits run, differences in flight are normal.[/]",
    ]


def _addresses(environment: Environment) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, address in output.addresses(environment):
        grid.add_row(f"[dim]{name}[/]", f"[cyan]{escape(address)}[/]")
    return grid


DRAWN_EVERY_SECONDS = 0.5


class Screen:
    """A display on a terminal."""

    def __init__(self) -> None:
        self._console = terminal(highlight=False)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def opening(self, sentence: str) -> None:
        """See `Display`."""
        self._console.print(f"[bold]TDS demo[/]  {escape(sentence)}")

    def step(self, name: str, seconds: float, detail: str) -> None:
        """See `Display`."""
        self._console.print(f"[green]✓[/] {name:<14} [dim]{seconds:5.1f} s  {escape(detail)}[/]", soft_wrap=True)

    def ready(self, environment: Environment, seconds: float) -> None:
        """See `Display`."""
        self._console.print(f"\n[bold]Everything runs[/] after {seconds:.1f} s.")
        for name, address in output.addresses(environment):
            self._console.print(f"  {name:<10} [cyan]{escape(address)}[/]", soft_wrap=True)
        self._console.print("\n[bold]First load[/]")

    def loading(self, loads: dict[str, Load], expected: dict[str, int]) -> None:
        """See `Display`."""
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
            told = output.progress(load, expected[name])
            self._bars.update(self._tasks[name], total=total, completed=done, told=told)

    def first_record(self, seconds: float) -> None:
        """See `Display`."""
        self._console.print(f"  [green]{output.first_record(seconds)}[/]")

    def loaded(self, seconds: float) -> None:
        """See `Display`."""
        self._stop_bars()
        self._console.print(f"  All loaded in {seconds:.1f} s.\n")

    def watch_edits(self, environment: Environment, until: float | None) -> None:
        """See `Display`."""
        watcher = Watcher(environment)
        with Live(console=self._console, auto_refresh=False, transient=False) as live:
            while until is None or time.monotonic() < until:
                with contextlib.suppress(SQLAlchemyError, requests.RequestException):
                    width, height = self._console.size
                    live.update(draw(watcher.look(), environment, width=width, height=height), refresh=True)
                time.sleep(DRAWN_EVERY_SECONDS)

    def closing(self, sentence: str) -> None:
        """See `Display`."""
        self._console.print(f"[dim]{escape(sentence)}[/]")

    def closed(self, report: Figures) -> None:
        """See `Display`."""
        colour = "red" if report["problems"] else "green"
        for sentence in output.outcome(report):
            self._console.print(f"[{colour}]{escape(sentence)}[/]")

    def close(self) -> None:
        """See `Display`."""
        self._stop_bars()

    def _stop_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
