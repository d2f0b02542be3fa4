"""`tds alerts channels`: makes, changes, tests and removes channels, and shows the messages they got."""

import sys
from types import ModuleType
from typing import Annotated, Any

import typer

from tds_api.cli.alerts.views import show_deliveries, since
from tds_api.cli.common.output import read_duration, say, say_json, say_table, terminal
from tds_api.cli.common.remote_api import remote
from tds_core.alerts.text_formatting import span
from tds_core.errors import ConfigError, TdsError
from tds_models.alerts import AlertDeliveryState, AlertSeverity

PATH, MOST = "/alert-channels", 500
Name = Annotated[str, typer.Argument(help="A channel's name, see: tds alerts channels")]

_AS_JSON = typer.Option(False, "--json", help="For programs.")
_SEVERITY = typer.Option("--severity", help="Told of alerts of this severity or worse.")
_AFTER = typer.Option("", metavar="TIME", help="Told only of what nobody acknowledged for so long: 15min, 1h.")
_REMINDER = typer.Option("", "--remind", metavar="TIME", help="Reminded so often of what still fires; 0s: never.")
_QUIET = typer.Option("", "--quiet", metavar="22:00-07:00", help="Told only what is critical then; none: never quiet.")
_ZONE = typer.Option("", "--zone", metavar="ZONE", help="Of the quiet hours, for example Asia/Baghdad; else UTC.")
_DETAIL = typer.Option("--detail/--no-detail", help="Messages hold texts of errors too, not only ids and counts.")

_WAYS = {
    "running_tds": "sent by the running TDS",
    "command": "sent by this command with its own settings, for no TDS runs that sends messages",
}

channels_app = typer.Typer(help="Where alerts are sent: made, changed, tested, removed; and what was sent.")


class ChannelNotTakenError(TdsError):
    """A channel did not take the test message."""

    code = "channel_not_taken"


def _local() -> ModuleType:
    """The channels of the settings' database. The notification library comes with it, which other commands need not."""
    from tds_api.cli.alerts import local_channels  # noqa: PLC0415

    return local_channels


@channels_app.callback(invoke_without_command=True)
def overview(context: typer.Context, as_json: bool = _AS_JSON) -> None:
    """Show every channel, when it is told, and how it does."""
    if not context.invoked_subcommand:
        listed(as_json)


@channels_app.command("list")
def listed(as_json: bool = _AS_JSON) -> None:
    """Show every channel, when it is told, and how it does."""
    api = remote()
    rows = api.page(PATH, limit=MOST) if api else _local().listed()
    if as_json:
        say_json(rows)
        return
    columns = ("channel", "kind", "address", "on", "from", "after", "reminds", "quiet", "sent", "failing", "error")
    say_table("Channels", columns, map(_row, rows), console=terminal())
    if not rows:
        say("Make one: tds alerts channels add NAME ADDRESS (docs/alert-channels.md has one of each kind)", err=True)


def _row(channel: Any) -> tuple[Any, ...]:
    quiet = f"{channel['quiet_hours']} {channel['time_zone']}" if channel["quiet_hours"] else None
    return (
        channel["name"], channel["kind"], channel["masked"], channel["is_enabled"], channel["minimum_severity"],
        _span(channel["after_seconds"]), _span(channel["reminder_seconds"]), quiet, channel["sent_at"],
        since(channel["failing_since"]), channel["last_error"],
    )  # fmt: skip


def _span(seconds: int) -> str | None:
    return span(seconds) if seconds else None


@channels_app.command()
def add(
    name: Annotated[str, typer.Argument(help="What commands call it by.")],
    address: Annotated[
        str, typer.Argument(help="Where messages go (docs/alert-channels.md); - reads it from standard input.")
    ],
    *,
    severity: Annotated[AlertSeverity | None, _SEVERITY] = None,
    after: str = _AFTER,
    remind: str = _REMINDER,
    quiet: str = _QUIET,
    zone: str = _ZONE,
    with_detail: Annotated[bool | None, _DETAIL] = None,
    as_json: bool = _AS_JSON,
) -> None:
    """Make a channel. The secret that signs a webhook's messages is shown now and never again."""
    terms = _terms(severity, after, remind, quiet, zone, with_detail)
    whole = _address(address)
    api = remote()
    channel = api.post(PATH, {"name": name, "address": whole, **terms}) if api else _local().add(name, whole, terms)
    if as_json:
        say_json(channel)
        return
    if channel["secret"]:
        say(channel["secret"])
        say("Shown this once; the receiver verifies messages with it.", err=True)
    say(f"{name} sends to {channel['masked']}. Try it: tds alerts channels test {name}", err=bool(channel["secret"]))


def _address(address: str) -> str:
    return sys.stdin.readline().strip() if address == "-" else address


def _terms(  # noqa: PLR0917 (the options of a command)
    severity: AlertSeverity | None, after: str, remind: str, quiet: str, zone: str, with_detail: bool | None
) -> dict[str, Any]:
    """The terms that options name; what they leave out stays, or is the default."""
    terms: dict[str, Any] = {
        "minimum_severity": severity and severity.value,
        "after_seconds": _seconds(after),
        "reminder_seconds": _seconds(remind),
        "time_zone": zone or None,
        "with_detail": with_detail,
    }
    chosen = {key: value for key, value in terms.items() if value is not None}
    if quiet:
        chosen["quiet_hours"] = None if quiet == "none" else quiet
    return chosen


def _seconds(text: str) -> int | None:
    return int(read_duration(text).total_seconds()) if text else None


@channels_app.command()
def change(
    name: Name,
    *,
    address: str = typer.Option("", help="Another address of the same kind; - reads it from standard input."),
    severity: Annotated[AlertSeverity | None, _SEVERITY] = None,
    after: str = _AFTER,
    remind: str = _REMINDER,
    quiet: str = _QUIET,
    zone: str = _ZONE,
    with_detail: Annotated[bool | None, _DETAIL] = None,
    is_enabled: Annotated[bool | None, typer.Option("--on/--off", help="Whether it is told anything.")] = None,
    as_json: bool = _AS_JSON,
) -> None:
    """Change when a channel is told, or its address; what no option names stays."""
    terms = _terms(severity, after, remind, quiet, zone, with_detail)
    if is_enabled is not None:
        terms["is_enabled"] = is_enabled
    whole = _address(address)
    if not terms and not whole:
        raise ConfigError(f"Say what changes: tds alerts channels change {name} --severity error, --off, --address ...")
    api = remote()
    if api:
        channel = api.change("PUT", f"{PATH}/{name}", {**terms, **({"address": whole} if whole else {})})
    else:
        channel = _local().change(name, whole, terms)
    if as_json:
        say_json(channel)
    else:
        say(f"{name} is changed. Try it: tds alerts channels test {name}")


@channels_app.command()
def remove(name: Name, as_json: bool = _AS_JSON) -> None:
    """Delete a channel with its secrets; the messages it got stay in the history."""
    api = remote()
    channel = api.change("DELETE", f"{PATH}/{name}") if api else _local().remove(name)
    if as_json:
        say_json(channel)
    else:
        say(f"{name} is no more. What is left: tds alerts channels list")


@channels_app.command()
def test(name: Name, as_json: bool = _AS_JSON) -> None:
    """Send a message that says it is a test, now, through the running TDS. Exit code 1: it was not taken."""
    api = remote()
    result = api.post(f"{PATH}/{name}/test") if api else _local().test(name)
    if as_json:
        say_json(result)
    way = _WAYS.get(result.get("sent_by", ""), "")
    if not result["is_sent"]:
        again = (
            "change it: tds alerts channels change" if result["is_permanent"] else "try again: tds alerts channels test"
        )
        why = result["error"].rstrip(".")
        raise ChannelNotTakenError(f"{name} did not take the message, {way}: {why}. Then {again} {name}")
    if not as_json:
        say(f"{name} took the message in {result['duration_seconds']:.1f} s, {way}. Look whether it arrived.")


@channels_app.command()
def rotate(
    name: Name,
    grace_hours: float = typer.Option(24.0, "--grace-hours", min=0, max=720, help="So long the old one signs, too."),
    as_json: bool = _AS_JSON,
) -> None:
    """Give a webhook another secret, shown now and never again; the old one signs beside it for a while."""
    body = {"grace_seconds": grace_hours * 3600}
    api = remote()
    channel = api.post(f"{PATH}/{name}/rotate", body) if api else _local().rotate(name, **body)
    if as_json:
        say_json(channel)
        return
    say(channel["secret"])
    say(f"Shown this once; the secret before signs, too, for {grace_hours:g} h.", err=True)


@channels_app.command()
def deliveries(
    name: Name,
    state: Annotated[AlertDeliveryState | None, typer.Option(help="In this state only.")] = None,
    limit: int = typer.Option(20, min=1, max=MOST, help="So many."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show the messages of a channel with what came of each, the newest first."""
    wanted = state.value if state else None
    api = remote()
    if api:
        rows = api.page(f"{PATH}/{name}/deliveries", limit=limit, state=wanted)
    else:
        rows = _local().deliveries(name, limit=limit, state=wanted)
    if as_json:
        say_json(rows)
    else:
        show_deliveries(f"Messages to {name}", rows)
