"""`tds zoho webhooks coverage`: shows which changes webhooks announced, by entity and hour, and which they did not."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from tds_api.cli.common.database import transaction
from tds_api.cli.common.output import entity_named, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.webhook_coverage import queries
from tds_core.webhook_coverage.rule_state import RuleState

#: So many hours fit beside the counts.
STRIP_HOURS = 24
MOST_GAPS = 500

_STATES = {
    queries.NOT_ANNOUNCED: "not announced by webhook",
    queries.NOT_MEASURED: "not measured yet",
    RuleState.HEARD: "announced",
    RuleState.OFF: "silent",
    RuleState.MISSING: "never announced",
}
_COLUMNS = ("entity", "webhooks", "changes", "by webhook", "in time", "late", "never", "wrongly", "covered")
_GAP_COLUMNS = ("entity", "id", "what", "announced", "because", "changed", "found", "by", "told")
_NEXT = {
    RuleState.OFF: "The webhooks of {names} stay away: look with `tds zoho webhooks status`.",
    RuleState.MISSING: "No webhook of {names} has ever come: set them up with `tds zoho webhooks install`.",
    queries.NOT_MEASURED: "Not measured yet: {names}. It begins with the first webhook, after a first full pass"
    " (`tds sync ENTITY --mode full`).",
}


def coverage(
    hours: int = typer.Option(24, min=1, max=queries.MOST_HOURS, help="How many hours back."),
    entity: str = typer.Option("", help="Of this entity only."),
    gaps: bool = typer.Option(False, "--gaps", help="Name the changes that were not announced in time."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show which changes webhooks announced in time; exit code 1 when those of some entity stay away."""
    name = entity_named(entity).name if entity else None
    if gaps:
        _say_gaps(hours, name, as_json=as_json)
        return
    if api := remote():
        found = api.get("/zoho/webhooks/coverage", hours=hours, entity=name)
    else:
        with transaction() as session:
            found = queries.coverage(session, hours=hours, entity=name)
    if as_json:
        say_json(found)
    else:
        _say(found, terminal())
    if any(each["state"] in (RuleState.OFF, RuleState.MISSING) for each in found["entities"]):
        raise typer.Exit(1)


def _say(found: Mapping[str, Any], console: Console) -> None:
    say_table(
        f"Changes of {found['hours']} hours, and how webhooks announced them",
        (*_COLUMNS, f"last {min(found['hours'], STRIP_HOURS)} hours"),
        [_row(each, found) for each in found["entities"]],
        console=console,
    )
    console.print("[dim]An hour: █ all announced in time, ▒ some, ○ none, · no changes.[/]")
    total = found["total"]
    if total["changed_count"]:
        console.print(f"Of {total['changed_count']:,} changes {_share(total)} were announced in time.")
    for state, says in _NEXT.items():
        names = [each["entity"] for each in found["entities"] if each["state"] == state]
        if names:
            console.print(f"[yellow]{escape(says.format(names=', '.join(names)))}[/]", soft_wrap=True)
    for each in found["entities"]:
        if each["silent_events"]:
            which = f"{each['entity']} {', '.join(each['silent_events'])}"
            console.print(f"[yellow]Only these stay away: {which}. Look with `tds zoho webhooks status`.[/]")
    if total["never_count"] or total["wrong_count"] or total["late_count"]:
        console.print("Which changes: tds zoho webhooks coverage --gaps")


def _row(each: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[Any, ...]:
    state = _STATES[each["state"]]
    if each["state"] in queries.UNMEASURED:
        return (each["entity"], state, *(None,) * 8)
    counts = (each["changed_count"], *(each[name] for name in queries.COUNTS))
    return (each["entity"], state, *counts, _share(each), _strip(each["cells"], found["to_at"], found["hours"]))


def _share(counts: Mapping[str, Any]) -> str | None:
    ratio = counts["coverage_ratio"]
    return None if ratio is None else f"{ratio:.1%}"


def _strip(cells: list[Mapping[str, Any]], last: datetime, hours: int) -> str:
    """One sign for each hour, the newest last."""
    ratios = {cell["hour_at"]: cell["coverage_ratio"] for cell in cells}
    count = min(hours, STRIP_HOURS)
    return "".join(_sign(ratios.get(last - timedelta(hours=back))) for back in range(count - 1, -1, -1))


def _sign(ratio: float | None) -> str:
    if ratio is None:
        return "·"
    return "█" if ratio >= 1 else "▒" if ratio > 0 else "○"


def _say_gaps(hours: int, entity: str | None, *, as_json: bool) -> None:
    since = datetime.now(UTC) - timedelta(hours=hours)
    if api := remote():
        rows = api.page("/zoho/webhooks/coverage/gaps", limit=MOST_GAPS, entity=entity, since=since)
    else:
        with transaction() as session:
            rows = queries.gaps(session, limit=MOST_GAPS, entity=entity, since=since).items
    if as_json:
        say_json(rows)
        return
    names = ("entity", "source_id", "operation", "verdict", "reason", "changed_at", "found_at", "origin", "told_at")
    cells = [tuple(row[name] for name in names) for row in rows]
    say_table(f"Found by polling in {hours} hours, not announced in time", _GAP_COLUMNS, cells, console=terminal())
