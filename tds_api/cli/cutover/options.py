"""Options that the commands of `tds migrate-from` share, and the day by which results are counted."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

MappingOption = Annotated[Path, typer.Option("--mapping", help="The mapping file (TOML): which old column is which.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=31, help="Days in a row that must have been clean.")]


def today() -> date:
    """The day in UTC, by which results are counted."""
    return datetime.now(UTC).date()
