"""Options that the commands of `tds migrate-from` share, and the day by which results are counted."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from tds_core.config.settings import load_settings
from tds_core.statistics.local_time import local_day

MappingOption = Annotated[Path, typer.Option("--mapping", help="The mapping file (TOML): which old column is which.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
DaysOption = Annotated[int, typer.Option("--days", min=1, max=31, help="Days in a row that must have been clean.")]


def today() -> date:
    """The day by which results are counted, of the installation's time zone: a nightly job keeps to its midnight."""
    return local_day(datetime.now(UTC), load_settings().time_zone)
