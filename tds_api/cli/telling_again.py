"""`tds subscriptions replay|test|deliveries`: what was told, told again, and whether events arrive at all."""

from typing import Annotated, Any

import typer

from tds_api.cli.acting import acting
from tds_api.cli.database import transaction
from tds_api.cli.moments import read_moment
from tds_api.cli.output import say, say_json, say_table, terminal
from tds_api.cli.remote import remote
from tds_core.config import load_settings
from tds_core.errors import ConfigError, TdsError
from tds_core.outbound import replaying
from tds_core.outbound.setup import targets_of, vault_of
from tds_core.outbound.trying import receiver_named, try_out
from tds_core.reading import subscriptions as reading
from tds_models.outbound import DeliveryState

Name = Annotated[str, typer.Argument(help="A subscription's name or id, see: tds subscriptions list")]
PATH, MOST = "/subscriptions", 500

_AS_JSON = typer.Option(False, "--json", help="For programs.")


class NotTakenError(TdsError):
    """The receiver did not take a test."""

    code = "not_taken"


def replay(
    name: Name,
    *,
    since: str = typer.Option("", metavar="WHEN", help="What changed since: a date, a time, or 2h, 3d."),
    entity: str = typer.Option("", help="With --id and --version: of one record only."),
    source_id: str = typer.Option("", "--id", help="The record's id."),
    version: int = typer.Option(1, min=1, help="The record's version to begin with."),
    given_up: bool = typer.Option(False, "--given-up", help="What was given up, and what followed it."),
) -> None:
    """Tell again what was told, under other ids: since a moment, a record from a version on, or what was given up."""
    if [bool(since), bool(entity and source_id), given_up].count(True) != 1 or bool(entity) != bool(source_id):
        raise ConfigError("Say what: --since WHEN, or --entity ENTITY --id ID [--version N], or --given-up.")
    asked: dict[str, Any] = {"since": read_moment(since)} if since else {"given_up": True}
    if entity:
        asked = {"entity": entity, "source_id": source_id, "version": version}
    if there := remote():
        there.post(f"{PATH}/{name}/replay", asked)
    else:
        with acting("subscriptions.replay", name, detail=asked) as session:
            replaying.replay(session, name, **asked)
    say(f"{name} is told again. See it with: tds subscriptions deliveries {name}")


def test(name: Name, as_json: bool = _AS_JSON) -> None:
    """Send an event that says nothing, now. Exit code 1: it was not taken."""
    if there := remote():
        answer = there.post(f"{PATH}/{name}/test")
    else:
        settings = load_settings()
        with acting("subscriptions.test", name) as session:
            receiver = receiver_named(session, name)
        came = try_out(
            receiver, vault_of(settings), targets_of(settings), timeout_seconds=settings.outbound_timeout_seconds
        )  # fmt: skip
        answer = {"status": came.status, "duration_seconds": came.duration_seconds, "error": came.error}
    if as_json:
        say_json(answer)
    if answer["status"] is None or not 200 <= answer["status"] < 300:
        raise NotTakenError(f"{name} answered {answer['status'] or 'nothing'}: {answer['error'] or 'no word more'}")
    if not as_json:
        say(f"{name} answered {answer['status']} in {answer['duration_seconds']:.3f} s.")


def deliveries(
    name: Name,
    state: Annotated[DeliveryState | None, typer.Option(help="Only those.")] = None,
    limit: int = typer.Option(20, min=1, max=MOST, help="So many."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show what was sent and what came of it, the newest first."""
    wanted = state.value if state else None
    if there := remote():
        found = there.page(f"{PATH}/{name}/deliveries", limit=limit, state=wanted)
    else:
        with transaction() as session:
            found = reading.deliveries(session, name, limit=limit, state=wanted).items
    if as_json:
        say_json(found)
        return
    columns = ("message", "entity", "record", "version", "state", "attempts", "status", "seconds", "when", "why")
    shown = ("message_id", "entity", "source_id", "version", "state", "attempts", "status", "duration_seconds",
             "attempted_at", "error")  # fmt: skip
    rows = [tuple(each[column] for column in shown) for each in found]
    say_table(f"Deliveries to {name}", columns, rows, console=terminal())
