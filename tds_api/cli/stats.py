"""`tds stats`: shows the record counts of Zoho and the mirror, the queue, dead letters, events and runs."""

from typing import Any

import typer
from rich.console import Console

from tds_api.cli.common.database import transaction
from tds_api.cli.common.output import cell, say_json, say_table, terminal
from tds_api.cli.runs import show_details
from tds_core.config.settings import load_settings
from tds_core.inbox.queries import ReceptionHealth
from tds_core.mirror.status import EntityVsSource, progress, source_vs_mirror
from tds_core.sources.response_cache import ResponseCounts, open_cache
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.sync.run_queries import RunRow


def stats(as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show what Zoho and the mirror hold, the queue, dead letters, events of the last day and the latest runs."""
    with transaction() as session:
        figures = source_vs_mirror(session)
    left = {row["entity"]: row["details_left"] or 0 for row in figures["entities"]}
    figures["details"] = progress(left, open_governor(load_settings()))
    figures["live_reads"] = open_cache(load_settings()).counts()
    if as_json:
        say_json(figures)
        return
    console = terminal()
    say_table(
        "Entities (Zoho's count is from the last full run)",
        ("entity", "Zoho", "mirror", "deleted", "unconfirmed", "details left", "newest", "cursor", "last run"),
        [_entity(row) for row in figures["entities"]],
        console=console,
    )
    show_details(figures["details"], console)
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
