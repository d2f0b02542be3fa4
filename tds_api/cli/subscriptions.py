"""`tds subscriptions`: creates, lists, pauses, rotates, tests, replays and deletes subscriptions to change events."""

from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import moment, read_moment, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError, TdsError
from tds_core.subscriptions import replay as subscriptions_replay
from tds_core.subscriptions import subscriptions as core
from tds_core.subscriptions.replay import receiver_of, send_test_event
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_core.subscriptions.subscriptions import vault_of
from tds_models.subscriptions import DeliveryState, EventKind

Name = Annotated[str, typer.Argument(help="A subscription's name or id, see: tds subscriptions list")]
PATH, MOST = "/subscriptions", 500

_REPLAY_AS_JSON = typer.Option(False, "--json", help="For programs.")


class NotTakenError(TdsError):
    """The receiver did not accept the test event."""

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
        raise ConfigError(
            "Choose what to replay: --since WHEN, or --entity ENTITY --id ID [--version N], or --given-up."
        )
    arguments: dict[str, Any] = {"since": read_moment(since)} if since else {"given_up": True}
    if entity:
        arguments = {"entity": entity, "source_id": source_id, "version": version}
    if api := remote():
        api.post(f"{PATH}/{name}/replay", arguments)
    else:
        with acting("subscriptions.replay", name, detail=arguments) as session:
            subscriptions_replay.replay(session, name, **arguments)
    say(f"{name} is told again. See it with: tds subscriptions deliveries {name}")


def test(name: Name, as_json: bool = _REPLAY_AS_JSON) -> None:
    """Send an event that says nothing, now. Exit code 1: it was not taken."""
    if api := remote():
        result = api.post(f"{PATH}/{name}/test")
    else:
        settings = load_settings()
        with acting("subscriptions.test", name) as session:
            receiver = receiver_of(session, name)
        response = send_test_event(
            receiver, vault_of(settings), configured_policy(settings), timeout_seconds=settings.outbound_timeout_seconds
        )  # fmt: skip
        result = {"status": response.status, "duration_seconds": response.duration_seconds, "error": response.error}
    if as_json:
        say_json(result)
    if result["status"] is None or not 200 <= result["status"] < 300:
        raise NotTakenError(f"{name} answered {result['status'] or 'nothing'}: {result['error'] or 'no reason given'}")
    if not as_json:
        say(f"{name} answered {result['status']} in {result['duration_seconds']:.3f} s.")


def deliveries(
    name: Name,
    state: Annotated[DeliveryState | None, typer.Option(help="Only those.")] = None,
    limit: int = typer.Option(20, min=1, max=MOST, help="So many."),
    as_json: bool = _REPLAY_AS_JSON,
) -> None:
    """Show what was sent and what came of it, the newest first."""
    state_name = state.value if state else None
    if api := remote():
        delivery_rows = api.page(f"{PATH}/{name}/deliveries", limit=limit, state=state_name)
    else:
        with transaction() as session:
            delivery_rows = core.deliveries(session, name, limit=limit, state=state_name).items
    if as_json:
        say_json(delivery_rows)
        return
    columns = ("message", "entity", "record", "version", "state", "attempts", "status", "seconds", "when", "why")
    shown = ("message_id", "entity", "source_id", "version", "state", "attempts", "status", "duration_seconds",
             "attempted_at", "error")  # fmt: skip
    rows = [tuple(each[column] for column in shown) for each in delivery_rows]
    say_table(f"Deliveries to {name}", columns, rows, console=terminal())


subscriptions = typer.Typer(no_args_is_help=True, help="Programs that hear of changes: make, show, stop, replay.")
for command in (replay, test, deliveries):
    subscriptions.command()(command)

_AS_JSON = typer.Option(False, "--json", help="For programs.")


@subscriptions.command("list")
def listed(as_json: bool = _AS_JSON) -> None:
    """Show every subscription: how it stands and what it is owed."""
    if api := remote():
        rows = api.page(PATH, limit=MOST)
    else:
        with transaction() as session:
            rows = core.subscriptions(session, limit=MOST).items
    if as_json:
        say_json(rows)
        return
    columns = ("id", "name", "to", "of", "state", "owed", "behind", "delivered", "failing since", "why")
    say_table("Subscriptions to change events", columns, map(_row, rows), console=terminal())


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
    arguments: dict[str, Any] = {
        "name": name, "url": url, "entities": entities or [], "kinds": [str(each) for each in kinds or ()],
        "fields": fields or [],
    }  # fmt: skip
    if api := remote():
        subscription = api.post(PATH, arguments)
    else:
        settings = load_settings()
        vault, reach = vault_of(settings), configured_policy(settings)
        with acting("subscriptions.create", name, detail={"url": url}) as session:
            number, secret = core.create(session, vault, reach, by=getuser(), **arguments)
            subscription = {**core.subscription(session, str(number)), "secret": secret}
    _show_secret(subscription, as_json, f"Try it: tds subscriptions test {name}")


@subscriptions.command()
def rotate(
    name: Name,
    grace_hours: float = typer.Option(24.0, "--grace-hours", min=0, max=720, help="So long the old one signs, too."),
    as_json: bool = _AS_JSON,
) -> None:
    """Give a subscription another secret, shown now and never again; the old one signs beside it for a while."""
    grace_seconds = grace_hours * 3600
    if api := remote():
        subscription = api.post(f"{PATH}/{name}/rotate", {"grace_seconds": grace_seconds})
    else:
        vault = vault_of(load_settings())
        with acting("subscriptions.rotate", name) as session:
            _, secret = core.rotate(session, vault, name, grace_seconds=grace_seconds)
            subscription = {**core.subscription(session, name), "secret": secret}
    _show_secret(
        subscription, as_json, f"The secret before signs, too, until {moment(subscription['previous_until'])}."
    )


@subscriptions.command()
def pause(name: Name) -> None:
    """Send nothing until it is resumed; what changes meanwhile is told then."""
    if api := remote():
        api.post(f"{PATH}/{name}/pause")
    else:
        with acting("subscriptions.pause", name) as session:
            core.pause(session, name, by=getuser())
    say(f"{name} is told nothing. Go on with: tds subscriptions resume {name}")


@subscriptions.command()
def resume(name: Name) -> None:
    """Send again, whether it was paused or disabled; all that waits is sent at once."""
    if api := remote():
        api.post(f"{PATH}/{name}/resume")
    else:
        with acting("subscriptions.resume", name) as session:
            core.resume(session, name, by=getuser())
    say(f"{name} is told of changes again, those it missed first.")


@subscriptions.command()
def delete(name: Name) -> None:
    """End a subscription, with what it is owed and what is known of its deliveries."""
    if api := remote():
        api.change("DELETE", f"{PATH}/{name}")
    else:
        with acting("subscriptions.delete", name) as session:
            core.delete(session, name, by=getuser())
    say(f"{name} is no more.")


def _show_secret(subscription: dict[str, Any], as_json: bool, then: str) -> None:
    if as_json:
        say_json(subscription)
        return
    say(subscription["secret"])
    say(f"Shown this once; {subscription['name']} verifies with it what it is sent. {then}", err=True)


def _row(row: core.SubscriptionRow) -> tuple[Any, ...]:
    of = "; ".join(", ".join(row[each]) for each in ("entities", "kinds", "fields") if row[each])
    return (
        row["id"], row["name"], row["url"], of or "everything", row["state"], row["owed_count"],
        row["behind_count"], row["delivered_at"], row["failing_since"], row["state_reason"],
    )  # fmt: skip
