"""How commands speak: tables for people, JSON for programs, times in plain words."""

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tds_core.errors import TdsError
from tds_models.entities import ENTITIES
from tds_models.entity import Entity

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


class UnknownEntityError(TdsError):
    """TDS mirrors nothing of this name."""

    code = "unknown_entity"


def entity_named(name: str) -> Entity:
    """The entity of a name. Raises UnknownEntityError naming those there are."""
    if name not in ENTITIES:
        raise UnknownEntityError(f"TDS mirrors nothing called {name[:80]!r}. Entities: {', '.join(ENTITIES)}.")
    return ENTITIES[name]


def say_json(value: Any) -> None:
    """Print a value as one JSON document; times in ISO 8601, decimals as text, raw JSON as it is."""
    text = msgspec.json.encode(value, enc_hook=_encode)
    typer.echo(msgspec.json.format(text, indent=2).decode())


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, console: Console) -> None:
    """Print a table, or that there is nothing to show."""
    table = Table(*columns, title=title, title_justify="left", title_style="bold", header_style="dim", box=None)
    for row in rows:
        table.add_row(*(escape(cell(value)) for value in row))
    console.print(table if table.row_count else f"[bold italic]{escape(title)}[/]\n[dim]none[/]")


def cell(value: Any) -> str:
    """One value for people."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return distance((datetime.now(UTC) - value).total_seconds())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)


def distance(seconds: float) -> str:
    """How far away a moment is: `12 s ago`, `in 7 min`; `seconds` are negative for what is to come."""
    size = abs(seconds)
    unit, length = next(((unit, length) for unit, length in _UNITS if size >= 2 * length), ("s", 1))
    amount = f"{size / length:,.0f} {unit}"
    return f"{amount} ago" if seconds >= 0 else f"in {amount}"


def moment(value: datetime) -> str:
    """A moment by the clock, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
