"""`tds dead-letter`: lists, groups, assigns, edits, closes and imports dead letters."""

import sys
from getpass import getuser
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_api.cli.dead_letter import retry as dead_letter_retry
from tds_api.cli.dead_letter.views import show_dead_letter, show_dead_letters, show_groups
from tds_core.config.settings import load_settings
from tds_core.dead_letters import operator_actions, queries
from tds_core.dead_letters import retry as dead_letters_retry
from tds_core.dead_letters.importer import import_lines
from tds_core.errors import ConfigError
from tds_core.observability.logging import configure_logging

dead_letter_app = typer.Typer(
    help="See what was given up and why; assign, edit, close or retry it; take in foreign letters."
)
dead_letter_app.command("retry")(dead_letter_retry.retry)
dead_letter_app.command("batches")(dead_letter_retry.batches)
dead_letter_app.command("cancel")(dead_letter_retry.cancel)

_AS_JSON = typer.Option(False, "--json", help="For programs.")
_ID = typer.Argument(help="A letter, see: tds dead-letter list", metavar="ID", min=1)


@dead_letter_app.callback(invoke_without_command=True)
def overview(context: typer.Context, as_json: bool = _AS_JSON) -> None:
    """Show the problems behind the open letters, each with its meaning and what to do."""
    # Without log lines between the lines of a command.
    configure_logging(load_settings().replace("command line", log_level="ERROR"), process="cli")
    if context.invoked_subcommand is None:
        _groups("", "", as_json)


@dead_letter_app.command("list")
def listed(  # noqa: PLR0917 (options, which are given by name)
    group_by: str = typer.Option("", help="fingerprint: one line is one problem."),
    entity: str = typer.Option("", help="Only those of this entity."),
    error_class: str = typer.Option("", "--class", help="Only those of this error class."),
    state: str = typer.Option("open", help=f"Only those: {', '.join(queries.STATES)}."),
    like: int = typer.Option(0, min=0, help="Only those with the problem of this letter."),
    limit: int = typer.Option(20, min=1, max=500, help="So many."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show dead letters, the newest first."""
    if group_by not in ("", "fingerprint"):
        raise ConfigError("Letters are grouped by fingerprint: tds dead-letter list --group-by fingerprint")
    if state not in queries.STATES:
        raise ConfigError(f"There is no state {state[:80]!r}: {', '.join(queries.STATES)}.")
    if group_by:
        _groups(entity, error_class, as_json)
        return
    filters = {"state": state, "entity": entity or None, "error_class": error_class or None}
    if api := remote():
        fingerprint = api.get(f"/dead-letter/{like}")["fingerprint"] if like else None
        rows = api.page("/dead-letter", limit=limit, fingerprint=fingerprint, **filters)
    else:
        with transaction() as session:
            fingerprint = queries.dead_letter(session, like)["fingerprint"] if like else None
            rows = queries.dead_letters(session, limit=limit, fingerprint=fingerprint, **filters).items
    if as_json:
        say_json(rows)
    else:
        show_dead_letters(rows, terminal())


def _groups(entity: str, error_class: str, as_json: bool) -> None:
    if api := remote():
        rows = api.page("/dead-letter", group_by="fingerprint", entity=entity, error_class=error_class)
    else:
        with transaction() as session:
            rows = queries.groups(session, entity=entity or None, error_class=error_class or None)
    if as_json:
        say_json(rows)
    else:
        show_groups(rows, terminal())


@dead_letter_app.command()
def show(letter_id: int = _ID, as_json: bool = _AS_JSON) -> None:
    """Show one letter: its record, what it means and what to do, how often it was retried and by whom."""
    dead_letter = _dead_letter(letter_id)
    if as_json:
        say_json(dead_letter)
    else:
        show_dead_letter(dead_letter, terminal())


@dead_letter_app.command()
def assign(
    letter_id: int = _ID,
    to: str = typer.Option("", help="To whom; without it, to yourself."),
    nobody: bool = typer.Option(False, "--nobody", help="Take it from whoever has it."),
    as_json: bool = _AS_JSON,
) -> None:
    """Give a letter to somebody."""
    wanted = None if nobody else to or getuser()
    if api := remote():
        api.post(f"/dead-letter/{letter_id}/assign", {"to": wanted})
    else:
        with acting("letters.assign", letter_id, detail={"to": wanted}) as session:
            operator_actions.assign(session, letter_id, to=wanted, by=getuser())
    _say_done(letter_id, f"Dead letter {letter_id} is assigned to {wanted or 'nobody'}.", as_json)


@dead_letter_app.command()
def resolve(
    letter_id: int = _ID, note: str = typer.Option(..., help="Why nothing is to be done."), as_json: bool = _AS_JSON
) -> None:
    """Close a letter without bringing its record over."""
    if api := remote():
        api.post(f"/dead-letter/{letter_id}/resolve", {"note": note})
    else:
        with acting("letters.resolve", letter_id, detail={"note": note}) as session:
            operator_actions.resolve(session, letter_id, note=note, by=getuser())
    _say_done(letter_id, f"Dead letter {letter_id} is closed.", as_json)


@dead_letter_app.command()
def edit(
    letter_id: int = _ID,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, the value as JSON or text; may be repeated.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A whole record, JSON.", exists=True, dir_okay=False)] = None,
    retry: bool = typer.Option(False, "--retry", help="Retry it with that at once."),
    as_json: bool = _AS_JSON,
) -> None:
    """Give a letter another record; its next retry applies it instead of asking Zoho."""
    if bool(changes) == (file is not None):
        raise ConfigError("Give changes: tds dead-letter edit ID --set rate=4; or give a whole record: --file")
    with acting("letters.edit", letter_id, detail={"retry": retry}) as session:
        if file is not None:
            operator_actions.edit(session, letter_id, record=file.read_bytes(), by=getuser())
        else:
            operator_actions.amend(session, letter_id, changes=_members(changes or []), by=getuser())
        if retry:
            dead_letters_retry.retry(session, letter_id, by=getuser())
    then = "It is being retried." if retry else f"Retry it: tds dead-letter retry {letter_id}"
    _say_done(letter_id, f"Dead letter {letter_id} has its new record. {then}", as_json)


def _members(changes: list[str]) -> bytes:
    """`rate=4` and `name=Blue` as a JSON object; a value that is no JSON is text."""
    members: dict[str, msgspec.Raw] = {}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise ConfigError(f"{change[:80]!r} is not NAME=VALUE.")
        try:
            msgspec.json.decode(value)
            members[name] = msgspec.Raw(value.encode())
        except msgspec.DecodeError:
            members[name] = msgspec.Raw(msgspec.json.encode(value))
    return msgspec.json.encode(members)


@dead_letter_app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSON Lines; - reads the standard input.")],
    as_json: bool = _AS_JSON,
) -> None:
    """Take in dead letters of another system. Exit code 1 means that some lines were not understood."""
    if str(file) != "-" and not file.is_file():
        raise ConfigError(f"There is no file {file}.")
    with acting("letters.import", file) as session:
        if str(file) == "-":
            result = import_lines(session, sys.stdin.buffer, by=getuser())
        else:
            with file.open("rb") as lines:
                result = import_lines(session, lines, by=getuser())
    if as_json:
        say_json(result)
    else:
        console = terminal()
        console.print(f"{result.imported_count:,} taken in, {result.known_count:,} known already.", highlight=False)
        if result.errors:
            rows = [(each["line"], each["error"]) for each in result.errors]
            say_table("Lines that were not understood", ("line", "what is wrong"), rows, console=console)
        console.print("Look at them: tds dead-letter    Retry them: tds dead-letter retry --class foreign")
    raise typer.Exit(1 if result.errors else 0)


def _say_done(letter_id: int, says: str, as_json: bool) -> None:
    if not as_json:
        say(says)
        return
    say_json(_dead_letter(letter_id))


def _dead_letter(letter_id: int) -> queries.DeadLetterDetails:
    if api := remote():
        dead_letter: queries.DeadLetterDetails = api.get(f"/dead-letter/{letter_id}")
        return dead_letter
    with transaction() as session:
        return queries.dead_letter(session, letter_id)
