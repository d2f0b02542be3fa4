"""Output of commands: tables for people, JSON for programs, and moments as people write and read them.

Text from outside is escaped (`tds_core/terminal_text.py`), and nothing is cut off: a pipe gets full rows, a narrow
terminal gets fewer columns, then one record below the other.
"""

import dataclasses
import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table

from tds_core.errors import ConfigError, TdsError
from tds_core.terminal_text import shown, shown_in_line, shown_json
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

_AGO = re.compile(r"(\d{1,6})\s*(s|min|h|d)")
_LASTS = re.compile(r"(\d{1,6})\s*(s|min|m|h|d)")
_TIME_UNITS = {"s": "seconds", "min": "minutes", "m": "minutes", "h": "hours", "d": "days"}


def read_moment(text: str) -> datetime | None:
    """`2026-11-22`, `2026-11-22T09:30:00+03:00` (UTC without a zone), `15min`, `2h`, `3d`; None for nothing.

    Raises ConfigError.
    """
    if not text:
        return None
    if ago := _AGO.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{_TIME_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{text[:40]!r} is no moment. Write 2026-11-22, 2026-11-22T09:30:00Z, or how long ago: 15min, 2h, 3d."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_duration(text: str) -> timedelta:
    """How long something lasts: `90s`, `15min`, `2h`, `3d`. Raises ConfigError."""
    lasts = _LASTS.fullmatch(text.strip())
    if lasts is None:
        raise ConfigError(f"{text[:40]!r} is no length of time. Write 90s, 15min, 2h or 3d.")
    return timedelta(**{_TIME_UNITS[lasts[2]]: int(lasts[1])})


# A pipe has no width.
_PIPE_WIDTH = 10_000
# Sentences are folded to no fewer characters.
_LEAST_FOLDED = 16
_NOTHING = "-"
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


class NoSuchEntityError(TdsError):
    """TDS mirrors no entity of this name."""

    code = "unknown_entity"


def entity_named(name: str) -> Entity:
    """The entity of a name. Raises NoSuchEntityError naming those there are."""
    if name not in ENTITIES:
        raise NoSuchEntityError(f"TDS mirrors nothing called {name[:80]!r}. Entities: {', '.join(ENTITIES)}.")
    return ENTITIES[name]


class Terminal(Console):
    """A console that escapes control characters from outside; into a pipe it breaks no lines."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Rich's segments with their text escaped; Rich's own control segments stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=shown(segment.text))


def terminal(*, stderr: bool = False, quiet: bool = False, highlight: bool = True) -> Terminal:
    """The console on which commands print for people."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_terminal or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Terminal(stderr=stderr, quiet=quiet, highlight=highlight, width=width)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a line as it is, to standard output or standard error."""
    typer.echo(shown(text), err=err, nl=nl)


def say_error(error: TdsError) -> None:
    """Print an error's code and message to standard error."""
    terminal(stderr=True).print(f"[bold red]{escape(error.code)}[/] ", end="")
    say(str(error), err=True)


def say_json(value: Any) -> None:
    """Print a value as one JSON document; times in ISO 8601, decimals as text, raw JSON as it is."""
    text = msgspec.json.encode(value, enc_hook=_encode)
    typer.echo(shown_json(msgspec.json.format(text, indent=2).decode()))


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, console: Console) -> None:
    """Print a table, or that there is nothing to show. Where it is too wide, columns that are empty are left out; where
    it still is, long sentences are folded; where even that is too wide, each row is printed in words.
    """
    cells = [[shown_in_line(cell(value)) for value in row] for row in rows]
    if not cells:
        console.print(f"[bold italic]{escape(title)}[/]\n[dim]none[/]")
        return
    if _width(columns, cells) > console.width:
        filled = [number for number in range(len(columns)) if any(row[number] != _NOTHING for row in cells)]
        columns, cells = [columns[number] for number in filled], [[row[number] for number in filled] for row in cells]
    may_fold = [_may_fold(row[number] for row in cells) for number in range(len(columns))]
    if _width(columns, cells, may_fold) > console.width:
        _say_rows(title, columns, cells, console)
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None)
    for name, is_folded in zip(columns, may_fold, strict=True):
        table.add_column(name, no_wrap=not is_folded, overflow="fold", min_width=_LEAST_FOLDED if is_folded else None)
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)


def table_of(*columns: str) -> Table:
    """A table whose cells are given in Rich's markup; what is too wide is folded, never cut."""
    table = Table(header_style="dim", box=None)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _width(columns: Sequence[str], cells: Sequence[Sequence[str]], folds: Sequence[bool] | None = None) -> int:
    """How wide a table is; the columns that may fold count as narrow as they may get."""
    widths = [max(map(cell_len, [name, *(row[n] for row in cells)])) for n, name in enumerate(columns)]
    narrow = [_LEAST_FOLDED if folds and folds[n] else width for n, width in enumerate(widths)]
    return sum(narrow) + 2 * len(columns)


def _may_fold(values: Iterable[str]) -> bool:
    """Whether a column holds sentences: what identifies is one word."""
    return any(" " in value and cell_len(value) > _LEAST_FOLDED for value in values)


def _say_rows(title: str, columns: Sequence[str], cells: Sequence[Sequence[str]], console: Console) -> None:
    """Each row on one line: what identifies it, then the rest with the names of their columns."""
    console.print(f"[bold]{escape(title)}[/]")
    for row in cells:
        first, *rest = zip(columns, row, strict=True)
        second = f"  {rest[0][1]}" if rest else ""
        rest_text = ", ".join(f"{name} {value}" for name, value in rest[1:] if value != _NOTHING)
        console.print(f"[bold]{escape(first[1] + second)}[/]  {escape(rest_text)}", soft_wrap=True)


def cell(value: Any) -> str:
    """One value for people."""
    if value is None or value == "":
        return _NOTHING
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
