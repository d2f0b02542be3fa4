"""`tds locks`: shows which database sessions hold what TDS waits for."""

from typing import Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.output import say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.health.database_locks import LockHolder, lock_holders

_COLUMNS = ("pid", "who", "from", "state", "since", "on", "blocks", "work put off", "statement")


def locks(as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show who holds locks that block others, or that TDS's work may meet, those that block first."""
    if api := remote():
        holders = api.get("/locks")
    else:
        with transaction() as session:
            holders = lock_holders(session)
    if as_json:
        say_json(holders)
        return
    say_table("Locks", _COLUMNS, map(_row, holders), console=terminal())
    if any(each["blocks"] or each["waiting_item_count"] for each in holders):
        say("Ask its owner to end the transaction. If nobody can, in PostgreSQL: select pg_terminate_backend(PID)")


def _row(holder: LockHolder) -> tuple[Any, ...]:
    tables = ", ".join(f"{name} ({mode})" for name, mode in holder["tables"].items())
    waiting = ", ".join(f"{each['application'] or 'a session'} (pid {each['pid']})" for each in holder["blocks"])
    who = " ".join(filter(None, [holder["user"], holder["application"]]))
    return (
        str(holder["pid"]), who, holder["address"], holder["state"], holder["since"], tables, waiting,
        holder["waiting_item_count"] or None, holder["statement"],
    )  # fmt: skip
