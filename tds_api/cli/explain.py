"""`tds explain`: the story of one record, from webhook to row."""

from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tds_api.cli.database import transaction
from tds_api.cli.live import asked_live, show_live
from tds_api.cli.output import cell, entity_named, say_json
from tds_core.reading.errors import NotFoundError
from tds_core.reading.timeline import explain as timeline

_LONGEST_VALUE = 60
_COLOURS = {"event": "cyan", "attempt": "dim", "change": "green", "dead_letter": "red"}


def explain(
    entity: str = typer.Argument(help="For example product."),
    source_id: str = typer.Argument(metavar="ID", help="Zoho's id of the record."),
    live: bool = typer.Option(False, "--live", help="Ask Zoho for it as well, and compare."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show everything TDS knows of one record in one line of time: events, attempts, changes with before and after."""
    chosen = entity_named(entity)
    with transaction() as session:
        story = timeline(session, chosen, source_id)
    if live:
        story["live"] = asked_live(chosen, source_id)
    elif not story["steps"] and story["owed"] is None:
        raise NotFoundError(
            f"TDS has never heard of {entity} {source_id[:80]}. "
            f"Ask Zoho for it: tds sync {entity} --mode targeted --id {source_id[:80]} --wait"
        )
    if as_json:
        say_json(story)
        return
    table = Table("when (UTC)", "what", "told", header_style="dim", box=None)
    for step in story["steps"]:
        colour = _COLOURS.get(step["kind"], "")
        table.add_row(_moment(step["at"]), f"[{colour}]{step['kind']}[/]", escape(told(step)))
    console = Console()
    console.print(table)
    if story["owed"]:
        owed = story["owed"]
        says = f"attempt {owed['attempts'] + 1} {cell(owed['next_attempt_at'])}, last error: {cell(owed['last_error'])}"
        console.print(f"[bold]Owed a sync[/]: {escape(says)}")
    if live:
        show_live(story["live"], console)


def told(step: dict[str, Any]) -> str:
    """One step in words."""
    kind, detail = step["kind"], step["detail"]
    if kind == "event":
        taken = (detail["verdict_at"] - step["at"]).total_seconds() if detail["verdict_at"] else 0.0
        after = f" after {taken * 1000:,.0f} ms" if detail["verdict_at"] else ""
        body = "complete body" if detail["complete"] else "partial body"
        reason = f" ({detail['verdict_reason']})" if detail["verdict_reason"] else ""
        return f"{detail['event']}, {body}: {detail['verdict'] or 'in flight'}{after}{reason}"
    if kind == "attempt":
        error = f": {detail['error_class']}, {detail['error']}" if detail["error_class"] else ""
        return f"attempt {detail['attempt']} {detail['outcome']}{error} on {detail['worker'] or 'nobody'}"
    if kind == "change":
        by = f"{detail['origin']} {detail['origin_id'] or ''}".strip()
        return "\n".join([f"version {detail['version']} {detail['operation']} by {by}", *_changes(detail["changes"])])
    return f"given up after {detail['attempts']} attempts: {detail['error_class']}, {detail['error']}"


def _changes(raw: msgspec.Raw) -> list[str]:
    changes = msgspec.json.decode(raw, type=dict[str, Any])
    return [f"  {name}: {_short(pair)}" for name, pair in changes.items()]


def _short(pair: list[Any]) -> str:
    before, after = pair
    return _value(after) if before is None else f"{_value(before)} → {_value(after)}"


def _value(value: Any) -> str:
    text = "nothing" if value is None else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def _moment(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"
