"""`tds subscriptions`: programs that hear of changes, made, seen, stopped, given another secret, and told again."""

from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli import telling_again
from tds_api.cli.acting import acting
from tds_api.cli.database import transaction
from tds_api.cli.output import moment, say, say_json, say_table, terminal
from tds_api.cli.remote import remote
from tds_api.cli.telling_again import MOST, PATH, Name
from tds_core.config import load_settings
from tds_core.outbound import subscriptions as core
from tds_core.outbound.setup import targets_of, vault_of
from tds_core.reading import subscriptions as reading
from tds_models.outbound import EventKind

subscriptions = typer.Typer(no_args_is_help=True, help="Programs that hear of changes: make, show, stop, replay.")
for command in (telling_again.replay, telling_again.test, telling_again.deliveries):
    subscriptions.command()(command)

_AS_JSON = typer.Option(False, "--json", help="For programs.")


@subscriptions.command("list")
def listed(as_json: bool = _AS_JSON) -> None:
    """Show every subscription: how it stands and what it is owed."""
    if there := remote():
        found = there.page(PATH, limit=MOST)
    else:
        with transaction() as session:
            found = reading.subscriptions(session, limit=MOST).items
    if as_json:
        say_json(found)
        return
    columns = ("id", "name", "to", "of", "state", "owed", "behind", "delivered", "failing since", "why")
    say_table("Subscriptions to change events", columns, map(_row, found), console=terminal())


@subscriptions.command()
def create(
    name: str = typer.Argument(help="What commands call it by."),
    url: str = typer.Argument(help="Where events go, for example https://shop.example/hooks/tds"),
    *,
    entities: Annotated[
        list[str] | None, typer.Option("--entity", help="Of this entity only; may be repeated.")
    ] = None,
    kinds: Annotated[list[EventKind] | None, typer.Option("--kind", help="Of this kind only; may be repeated.")] = None,
    fields: Annotated[
        list[str] | None, typer.Option("--field", help="Tell of this field only; may be repeated.")
    ] = None,
    as_json: bool = _AS_JSON,
) -> None:
    """Have changes told to a program, from now on. Its secret is shown now and never again."""
    asked: dict[str, Any] = {
        "name": name, "url": url, "entities": entities or [], "kinds": [str(each) for each in kinds or ()],
        "fields": fields or [],
    }  # fmt: skip
    if there := remote():
        made = there.post(PATH, asked)
    else:
        settings = load_settings()
        vault, reach = vault_of(settings), targets_of(settings)
        with acting("subscriptions.create", name, detail={"url": url}) as session:
            number, secret = core.create(session, vault, reach, by=getuser(), **asked)
            made = {**reading.subscription(session, str(number)), "secret": secret}
    _tell_secret(made, as_json, f"Try it: tds subscriptions test {name}")


@subscriptions.command()
def rotate(
    name: Name,
    grace_hours: float = typer.Option(24.0, "--grace-hours", min=0, max=720, help="So long the old one signs, too."),
    as_json: bool = _AS_JSON,
) -> None:
    """Give a subscription another secret, shown now and never again; the old one signs beside it for a while."""
    grace_seconds = grace_hours * 3600
    if there := remote():
        made = there.post(f"{PATH}/{name}/rotate", {"grace_seconds": grace_seconds})
    else:
        vault = vault_of(load_settings())
        with acting("subscriptions.rotate", name) as session:
            _, secret = core.rotate(session, vault, name, grace_seconds=grace_seconds)
            made = {**reading.subscription(session, name), "secret": secret}
    _tell_secret(made, as_json, f"The secret before signs, too, until {moment(made['previous_until'])}.")


@subscriptions.command()
def pause(name: Name) -> None:
    """Send nothing until it is resumed; what changes meanwhile is told then."""
    if there := remote():
        there.post(f"{PATH}/{name}/pause")
    else:
        with acting("subscriptions.pause", name) as session:
            core.pause(session, name, by=getuser())
    say(f"{name} is told nothing. Go on with: tds subscriptions resume {name}")


@subscriptions.command()
def resume(name: Name) -> None:
    """Send again, whether it was paused or disabled; all that waits is sent at once."""
    if there := remote():
        there.post(f"{PATH}/{name}/resume")
    else:
        with acting("subscriptions.resume", name) as session:
            core.resume(session, name, by=getuser())
    say(f"{name} is told of changes again, those it missed first.")


@subscriptions.command()
def delete(name: Name) -> None:
    """End a subscription, with what it is owed and what is known of its deliveries."""
    if there := remote():
        there.change("DELETE", f"{PATH}/{name}")
    else:
        with acting("subscriptions.delete", name) as session:
            core.delete(session, name, by=getuser())
    say(f"{name} is no more.")


def _tell_secret(made: dict[str, Any], as_json: bool, then: str) -> None:
    if as_json:
        say_json(made)
        return
    say(made["secret"])
    say(f"Shown this once; {made['name']} verifies with it what it is sent. {then}", err=True)


def _row(found: dict[str, Any]) -> tuple[Any, ...]:
    of = "; ".join(", ".join(found[each]) for each in ("entities", "kinds", "fields") if found[each])
    return (
        found["id"], found["name"], found["url"], of or "everything", found["state"], found["owed_count"],
        found["behind_count"], found["delivered_at"], found["failing_since"], found["state_reason"],
    )  # fmt: skip
