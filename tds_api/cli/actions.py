"""`tds audit actions`: who did what, from where, and what came of it."""

from typing import Any

import typer

from tds_api.cli.database import transaction
from tds_api.cli.moments import read_moment
from tds_api.cli.output import say_json, say_table, terminal
from tds_api.cli.remote import remote
from tds_core.access import actions as core

_COLUMNS = ("when", "who", "as", "what", "on", "outcome", "why", "from")


def actions(  # noqa: PLR0917 (options, which are given by name)
    caller: str = typer.Option("", "--by", help="Only of this operator, key:PREFIX, token or account."),
    operation: str = typer.Option("", help="Only this, for example runs.approve."),
    outcome: str = typer.Option("", help="Only done, refused, failed or begun."),
    since: str = typer.Option("", metavar="WHEN", help="Only since then: a date, a time, or 2h, 3d."),
    limit: int = typer.Option(50, min=1, max=500, help="So many."),
    as_json: bool = typer.Option(False, "--json", help="For programs."),
) -> None:
    """Show what callers did over HTTP and by command, the newest first; refused changes too, reads not."""
    begins_at = read_moment(since)
    wanted: dict[str, Any] = {"caller": caller, "operation": operation, "outcome": outcome}
    if there := remote():
        found = there.page("/audit", limit=limit, since=begins_at.isoformat() if begins_at else None, **wanted)
    else:
        chosen = {name: value or None for name, value in wanted.items()}
        with transaction() as session:
            found = core.actions(session, limit=limit, since=begins_at, **chosen).items
    if as_json:
        say_json(found)
    else:
        say_table("Actions", _COLUMNS, map(_row, found), console=terminal())


def _row(found: dict[str, Any]) -> tuple[Any, ...]:
    return (
        found["recorded_at"], found["caller"], found["role"], found["operation"], found["subject"],
        found["outcome"], found["error"], found["remote_address"],
    )  # fmt: skip
