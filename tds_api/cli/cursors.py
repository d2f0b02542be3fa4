"""`tds cursors`: shows and sets where incremental reads begin."""

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import entity_named, read_moment, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.errors import ConfigError
from tds_core.sync import cursors as core_cursors

cursors = typer.Typer(help="Show where incremental reads begin; set that.")


@cursors.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: bool = typer.Option(False, "--json", help="For programs.")) -> None:
    """Show the cursor of every entity that has one; without a moment everything is read."""
    if context.invoked_subcommand:
        return
    found: list[core_cursors.CursorRow]
    if api := remote():
        found = api.get("/cursors")
    else:
        with transaction() as session:
            found = core_cursors.cursors(session)
    if as_json:
        say_json(found)
        return
    columns = ("entity", "changed from here on is read", "set", "by run")
    rows = [(each["entity"], each["modified_at"], each["updated_at"], each["run_id"]) for each in found]
    say_table("Cursors", columns, rows, console=terminal())


@cursors.command("set")
def put(
    entity: str = typer.Argument(help="For example invoice."),
    moment: str = typer.Argument(help="2026-11-22, 2026-11-22T09:30:00Z, or how long ago: 2h, 3d."),
) -> None:
    """Have the next incremental read begin at a moment, also one before where it would."""
    name, modified_at = entity_named(entity).name, read_moment(moment)
    if modified_at is None:
        raise ConfigError("A moment is missing. For example: tds cursors set invoice 3d")
    if api := remote():
        api.post(f"/cursors/{name}", {"modified_at": modified_at.isoformat()})
    else:
        with acting("cursors.set", name, entity=name, detail={"modified_at": modified_at}) as session:
            core_cursors.put(session, name, modified_at)
    say(f"The next incremental read of {name} begins at {modified_at:%Y-%m-%d %H:%M:%S} UTC: tds sync {name}")
