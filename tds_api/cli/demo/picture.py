"""The picture of one moment: tables that stand side by side where there is room for them."""

from collections.abc import Iterable

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from tds_api.cli.demo import words
from tds_api.cli.demo.glimpse import Glimpse
from tds_api.cli.demo.stage import Stage
from tds_models.entities import ENTITIES

WIDE = 110
HIGH = 34


def draw(glimpse: Glimpse, stage: Stage, *, width: int, height: int) -> RenderableType:
    """The whole picture in a terminal of this size; the addresses stand in it where it is high enough."""
    tables = [_flow(glimpse), _verdicts(glimpse), _queue(glimpse)]
    if width >= WIDE:
        tables.append(_deliveries(glimpse))
    minutes, seconds = divmod(int(glimpse.seconds), 60)
    title = f"edits are running [dim]{minutes}:{seconds:02}[/]"
    parts: list[RenderableType] = [Columns(tables, padding=(0, 3)), "", *_agreement(glimpse)]
    if height >= HIGH:
        parts += ["", _addresses(stage)]
    return Panel(Group(*parts), title=title, subtitle="Ctrl-C stops and compares everything", width=min(width, 130))


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _flow(glimpse: Glimpse) -> Table:
    return _table(
        "flow",
        [
            ("edits", f"{glimpse.edit_count:,}"),
            ("edits/s", f"{glimpse.edits_per_second:.1f}"),
            ("events", f"{glimpse.event_count:,}"),
            ("events/s", f"{glimpse.events_per_second:.1f}"),
            ("latency p50", words.milliseconds(glimpse.latency_ms["p50"])),
            ("latency p95", words.milliseconds(glimpse.latency_ms["p95"])),
            ("API calls", f"{glimpse.api_call_count:,}"),
        ],
    )


def _verdicts(glimpse: Glimpse) -> Table:
    names = ("applied", "unchanged", "superseded", "stale", "deleted", "quarantined", "dead_lettered")
    open_count = glimpse.verdicts.get("none", 0)
    rows = [(name.replace("_", " "), f"{glimpse.verdicts.get(name, 0):,}") for name in names]
    return _table("verdicts", [*rows, ("in flight", f"{open_count:,}")])


def _queue(glimpse: Glimpse) -> Table:
    rows = [(entity, f"{glimpse.queue.get(entity, 0):,}") for entity in ENTITIES]
    return _table(
        "queue",
        [
            *rows,
            ("dead letters", f"{glimpse.dead_letter_count:,}"),
            ("duplicates", f"{glimpse.duplicate_count:,}"),
            ("forged, 401", f"{glimpse.rejected_count:,}"),
        ],
    )


def _deliveries(glimpse: Glimpse) -> Table:
    kinds = glimpse.deliveries["by_kind"]
    rows = [(kind, f"{sum(statuses.values()):,}") for kind, statuses in kinds.items()]
    return _table("deliveries", [*rows, ("dropped", f"{glimpse.deliveries['dropped_count']:,}")])


def _agreement(glimpse: Glimpse) -> list[RenderableType]:
    sample = glimpse.sample
    good = not sample.off_by and not sample.differing_count
    mark = "[green]agree[/]" if good else "[yellow]in flight[/]"
    counts = ", ".join(f"{here:,} of {there:,} {words.TITLES[name]}" for name, (here, there) in sample.counts.items())
    return [
        f"[bold]mirror and Zoho now:[/] {mark}  {escape(words.agreement(sample))}",
        f"[dim]{counts}[/]",
        "[dim]While edits run, differences in flight are normal.[/]",
    ]


def _addresses(stage: Stage) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, address in words.addresses(stage):
        grid.add_row(f"[dim]{name}[/]", f"[cyan]{escape(address)}[/]")
    return grid
