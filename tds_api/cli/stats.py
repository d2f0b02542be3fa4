"""`tds stats`: shows what Zoho and the mirror hold, what was synced, and one entity's figures with their trends."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console

from tds_api.cli.common.database import database, transaction
from tds_api.cli.common.output import cell, entity_named, say, say_json, say_table, terminal
from tds_api.cli.runs import show_details
from tds_core.config.settings import load_settings
from tds_core.inbox.queries import ReceptionHealth
from tds_core.mirror.status import EntityVsSource, progress, source_vs_mirror
from tds_core.sources.response_cache import ResponseCounts, open_cache
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.statistics.entity_figures import Figure, FigureKind, breakdowns_of, figures_of
from tds_core.statistics.latest_entity_figures import stored_counts
from tds_core.statistics.reports import entity_reports, work_health
from tds_core.statistics.trends import Direction
from tds_core.sync.run_queries import RunRow
from tds_models.db import session_scope

WATCH_SECONDS = 5.0
_ARROWS = {Direction.UP: "▲", Direction.DOWN: "▼", Direction.STEADY: "=", Direction.UNKNOWN: ""}


def stats(
    entity: str = typer.Argument("", help="Only this one, with all its figures and their trends."),
    watch: bool = typer.Option(False, "--watch", help="Show it again every five seconds, until Ctrl-C."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show what Zoho and the mirror hold, today's figures, success rates, the queue, dead letters, events and runs."""
    if entity:
        entity_named(entity)
    console = terminal()
    while True:
        figures = _entity_figures(entity) if entity else _all_figures()
        if watch and not as_json and console.is_terminal:
            console.clear()
        if as_json:
            say_json(figures)
        elif entity:
            _show_entity(figures, console)
        else:
            _show_all(figures, console)
        if not watch:
            return
        try:
            time.sleep(WATCH_SECONDS)
        except KeyboardInterrupt:
            return


def _all_figures() -> dict[str, Any]:
    settings = load_settings()
    with transaction() as session:
        figures: dict[str, Any] = {**source_vs_mirror(session, stored_counts(session))}
        health = work_health(session, zone=settings.time_zone)
    left = {row["entity"]: row["details_left"] or 0 for row in figures["entities"]}
    figures["details"] = progress(left, open_governor(settings))
    figures["live_reads"] = open_cache(settings).counts()
    return {**figures, **{name: health[name] for name in ("today", "success_rates", "latency")}}


def _entity_figures(entity: str) -> Mapping[str, Any]:
    settings = load_settings()
    with database(settings) as engine, session_scope(engine) as session:
        return entity_reports(session, [entity], zone=settings.time_zone)[0]


def _show_all(figures: Mapping[str, Any], console: Console) -> None:
    say_table(
        "Entities (Zoho's count is from the last full run)",
        ("entity", "Zoho", "mirror", "deleted", "unconfirmed", "details left", "newest", "cursor", "last run"),
        [_entity(row) for row in figures["entities"]],
        console=console,
    )
    if about := [row["entity"] for row in figures["entities"] if row["is_estimated"]]:
        say(f"{', '.join(about)}: about so many; they are counted every hour, or now: tds schedule run statistics")
    show_details(figures["details"], console)
    console.print()
    _today(console, figures["today"])
    console.print()
    _success(console, figures["success_rates"])
    console.print()
    say_table("Queue", ("entity", "due", "waiting", "leased", "oldest due, s"),
              [tuple(row.values()) for row in figures["queue"]], console=console)  # fmt: skip
    console.print()
    say_table("Dead letters", ("entity", "why", "count", "last"),
              [tuple(row.values()) for row in figures["dead_letters"]], console=console)  # fmt: skip
    console.print()
    _events(console, figures["events"])
    console.print()
    _runs(console, figures["runs"])
    if figures["live_reads"]:
        _live_reads(console, figures["live_reads"])


def _entity(row: EntityVsSource) -> tuple[Any, ...]:
    run = row["last_run"]
    return (
        row["entity"], row["source_count"], row["live_count"], row["deleted_count"], row["unconfirmed_count"],
        row["details_left"],
        row["newest_modified_at"], row["cursor_at"], f"{run['mode']} {run['state']}" if run else None,
    )  # fmt: skip


def _today(console: Console, today: Mapping[str, Any]) -> None:
    keys = ("webhook_count", "synced_count", "changed_count", "listed_count", "retried_count", "failed_count")
    rows = [
        (row["entity"], *(row[key] for key in keys), row["fresh_at"])
        for row in today["entities"]
        if row["fresh_at"] or any(row[key] for key in keys)
    ]
    columns = ("entity", "webhooks", "synced", "changed", "listed", "retried", "failed", "all known as of")
    say_table(f"Today, {today['day']} in {today['time_zone']}", columns, rows, console=console)


def _success(console: Console, rates: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (rate["window"], _percent(rate["success_rate"]), rate["succeeded_count"], rate["failed_count"],
         rate["retried_count"], rate["counted_since"])
        for rate in rates
    ]  # fmt: skip
    columns = ("last", "success", "succeeded", "failed", "retried", "counted since")
    say_table("Success rate", columns, rows, console=console)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{int(share * 10_000) / 100:.2f} %"


def _events(console: Console, events: ReceptionHealth) -> None:
    rows = [*events["by_verdict"].items(), ("duplicates", events["duplicate_count"])]
    rows += [(f"refused: {row['reason']}", row["count"]) for row in events["rejected"]]
    title = f"Webhooks of the last {events['hours']} hours (the last one {cell(events['last_received_at'])})"
    say_table(title, ("verdict", "count"), rows, console=console)


def _live_reads(console: Console, counts: ResponseCounts) -> None:
    total = counts["cached"] + counts["asked"]
    if total:
        share = f"{counts['cached'] / total:.0%}"
        console.print(f"\nRecords people looked up at Zoho: {total:,}, {share} of them answered from the cache")


def _runs(console: Console, runs: list[RunRow]) -> None:
    columns = ("run", "entity", "mode", "state", "records", "calls", "ended", "why")
    rows = [
        (
            run["id"], run["entity"], run["mode"], run["state"], run["fetched_count"], run["api_call_count"],
            run["ended_at"], None if run["state"] == "completed" else run["end_reason"],
        )
        for run in runs
    ]  # fmt: skip
    say_table("Latest runs", columns, rows, console=console)


def _show_entity(report: Mapping[str, Any], console: Console) -> None:
    name, figures = report["entity"], report["figures"]
    if figures is None:
        console.print(report["reason"], markup=False, soft_wrap=True)
    else:
        changes = {(each["figure"], each["days"]): each for each in report["trends"] if each["currency"] is None}
        rows = [
            (figure.name, figures[figure.name], *(_change(changes.get((figure.name, days))) for days in (7, 30)))
            for figure in figures_of(name)
        ]
        title = f"{report['title']}, measured {cell(report['measured_at'])}"
        say_table(title, ("figure", "value", "in 7 days", "in 30 days"), rows, console=console)
        for breakdown in breakdowns_of(name):
            columns = [column.name for column in breakdown.columns]
            lines = [tuple(_value(column, row) for column in breakdown.columns) for row in figures[breakdown.name]]
            console.print()
            say_table(breakdown.name.capitalize(), columns, lines, console=console)
    console.print()
    _source(report["source"], console)


def _value(column: Figure, row: Mapping[str, Any]) -> Any:
    return _percent(row[column.name]) if column.kind is FigureKind.SHARE else row[column.name]


def _change(trend: Mapping[str, Any] | None) -> str | None:
    if trend is None or trend["change"] is None:
        return None
    percent = f" ({trend['change_percent']:+} %)" if trend["change_percent"] is not None else ""
    return f"{_ARROWS[trend['direction']]} {trend['change']:+,}{percent}"


def _source(source: Mapping[str, Any], console: Console) -> None:
    if source["there_count"] is None:
        says = f"Zoho's count is not known: {source['reason']}"
    else:
        says = f"Zoho had {source['there_count']:,} in the last {source['seen_by']}, {cell(source['seen_at'])}"
    if source["match_percent"] is not None:
        says += f"; {source['match_percent']} % equal in the comparison {cell(source['compared_at'])}"
    console.print(says, markup=False, soft_wrap=True)
