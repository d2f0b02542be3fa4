"""A record as Zoho has it now, beside the mirror's row: what `tds explain --live` adds."""

from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape

from tds_api.cli.breakers import quiet_breakers
from tds_api.cli.database import database
from tds_api.cli.output import cell, say_table
from tds_core.config import load_settings
from tds_core.reading.live import compare_live
from tds_core.sources import registry
from tds_core.sources.cache_setup import open_cache
from tds_models.db import session_scope
from tds_models.entity import Entity

_WORDS = {
    "equal": "[green]Zoho says the same[/]",
    "different": "[red]Zoho says otherwise[/]",
    "only_there": "[red]Zoho has it, the mirror does not[/]",
    "only_here": "[red]the mirror has it, Zoho does not[/]",
    "nowhere": "neither Zoho nor the mirror has it",
    "unreadable": "[red]what Zoho says breaks the rules[/]",
}
_LONGEST_VALUE = 60


def asked_live(entity: Entity, source_id: str) -> dict[str, Any]:
    """Both sides of a record. Raises `SourceError`."""
    settings = load_settings()
    breakers = quiet_breakers(settings)
    with database(settings) as engine:
        client = registry.open_source(entity.stream.source, settings, lambda: session_scope(engine), breakers)
        return compare_live(lambda: session_scope(engine), client, open_cache(settings), entity, source_id)


def show_live(told: dict[str, Any], console: Console) -> None:
    """Say how both sides stand to each other, and list what differs."""
    origin = "from the cache, asked" if told["is_cached"] else "asked"
    problem = f": {escape(told['problem'])}" if told["problem"] else ""
    console.print(f"[bold]Now[/]: {_WORDS[told['verdict']]}{problem} ({origin} {cell(told['asked_at'])})")
    if told["differences"]:
        rows = [(each["field"], _short(each["here"]), _short(each["there"])) for each in told["differences"]]
        say_table("Differences", ("field", "mirror", "Zoho"), rows, console=console)
    if told.get("not_shown"):
        console.print(f"Zoho does not show {', '.join(told['not_shown'])} where it shows one record alone.")


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
