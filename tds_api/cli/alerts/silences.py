"""`tds alerts silence` and `tds alerts silences`: makes, previews, extends, ends silences and maintenance windows."""

from datetime import UTC, datetime, timedelta
from getpass import getuser
from glob import escape
from typing import Annotated, Any

import typer

from tds_api.cli.alerts.views import clock, show_preview, show_silences
from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import read_duration, read_moment, say, say_json
from tds_api.cli.common.remote_api import remote
from tds_core.alerts import operator_actions, queries
from tds_core.alerts import silences as core
from tds_core.errors import ConfigError
from tds_core.queue.items import database_clock
from tds_models.alerts import AlertSeverity

PATH, MOST = "/alert-silences", 500

_AS_JSON = typer.Option(False, "--json", help="For programs.")
_LASTS = typer.Option("", "--for", metavar="TIME", help="So long: 30min, 2h, 3d.")
_UNTIL = typer.Option("", metavar="WHEN", help="Until then: 2026-12-01T06:00:00Z, UTC without a zone.")

silences_app = typer.Typer(help="Silences and maintenance windows: shown, extended, ended.")


def silence(
    alert_id: Annotated[
        int | None, typer.Argument(help="Exactly this alert, see: tds alerts list", metavar="[ID]", min=1)
    ] = None,
    *,
    reason: str = typer.Option(..., help="Why; shown to whoever wonders."),
    rules: Annotated[
        list[str] | None, typer.Option("--rule", help="Alerts of this rule, * for any letters; may be repeated.")
    ] = None,
    subjects: Annotated[
        list[str] | None, typer.Option("--subject", help="Alerts about this, * for any letters; may be repeated.")
    ] = None,
    severities: Annotated[
        list[AlertSeverity] | None, typer.Option("--severity", help="Alerts of this severity; may be repeated.")
    ] = None,
    everything: bool = typer.Option(False, "--everything", help="Every alert, also those that are critical."),
    lasts: str = _LASTS,
    until: str = _UNTIL,
    cron: str = typer.Option("", help="A window that recurs: five cron fields, and perhaps a zone, in quotes."),
    duration: str = typer.Option("", metavar="TIME", help="With --cron: how long each window lasts."),
    with_alert: bool = typer.Option(False, "--with-alert", help="It ends as soon as no alert that matches is active."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only show what it would mute now."),
    as_json: bool = _AS_JSON,
) -> None:
    """Let alerts send no messages for a time: one of them by its number, or all that match. They still fire."""
    terms: dict[str, Any] = {
        "reason": reason, "rules": rules or [], "subjects": subjects or [],
        "severities": [each.value for each in severities or ()], "ends_with_alerts": with_alert,
    }  # fmt: skip
    _check_choice(alert_id is not None, bool(rules or subjects or severities), everything)
    if alert_id is not None:
        _silence_one(alert_id, reason, _one_end(lasts, until, cron), with_alert, dry_run, as_json)
        return
    if everything:
        terms["rules"] = ["*"]
    if lasts:
        terms["lasts_seconds"] = read_duration(lasts).total_seconds()
    if until:
        terms["ends_at"] = read_moment(until)
    if cron:
        terms |= {"cron": cron, "duration_seconds": int(read_duration(duration or "2h").total_seconds())}
    if dry_run:
        _show_preview(_preview(terms), as_json)
    else:
        _show_made(_make(terms), as_json)


def _check_choice(*choices: bool) -> None:
    if sum(choices) != 1:
        raise ConfigError(
            "Say which alerts: a number (tds alerts silence 7 ...), or --rule, --subject, --severity, or --everything."
        )


def _one_end(lasts: str, until: str, cron: str) -> timedelta:
    """How long a silence of one alert lasts."""
    if cron or bool(lasts) == bool(until):
        raise ConfigError("Say how long: --for 2h, or --until 2026-12-01T06:00:00Z. A window (--cron) is of --rule.")
    if lasts:
        return read_duration(lasts)
    ends_at = read_moment(until)
    return (ends_at or datetime.now(UTC)) - datetime.now(UTC)


def _silence_one(  # noqa: PLR0917 (the options of the command)
    alert_id: int, reason: str, lasts: timedelta, with_alert: bool, dry_run: bool, as_json: bool
) -> None:
    if dry_run:
        _show_preview(_preview(_terms_of(alert_id, reason, lasts, with_alert)), as_json)
        return
    body = {"lasts_seconds": lasts.total_seconds(), "reason": reason, "ends_with_alert": with_alert}
    if api := remote():
        made = api.post(f"/alerts/{alert_id}/silence", body)
    else:
        with acting("alerts.silence", alert_id, detail=body) as session:
            made = operator_actions.silence_alert(
                session, alert_id, by=getuser(), lasts=lasts, reason=reason, ends_with_alert=with_alert
            )
    _show_made(made, as_json)


def _terms_of(alert_id: int, reason: str, lasts: timedelta, with_alert: bool) -> dict[str, Any]:
    """What matches one alert only."""
    if api := remote():
        alert = api.get(f"/alerts/{alert_id}")["alert"]
    else:
        with transaction() as session:
            alert = queries.alert(session, alert_id)
    return {
        "reason": reason, "rules": [escape(alert["rule"])], "subjects": [escape(alert["subject"])],
        "lasts_seconds": lasts.total_seconds(), "ends_with_alerts": with_alert,
    }  # fmt: skip


def _planned(session: Any, terms: dict[str, Any]) -> core.Silence:
    others = {name: value for name, value in terms.items() if name != "lasts_seconds"}
    lasts = timedelta(seconds=terms["lasts_seconds"]) if "lasts_seconds" in terms else None
    return core.planned(session, lasts=lasts, **others)


def _preview(terms: dict[str, Any]) -> Any:
    if api := remote():
        return api.post(f"{PATH}/preview", terms)
    with transaction() as session:
        return core.preview(session, _planned(session, terms))


def _make(terms: dict[str, Any]) -> Any:
    if api := remote():
        return api.post(PATH, terms)
    with acting("alerts.silences.create", detail=terms) as session:
        return operator_actions.make_silence(session, _planned(session, terms), by=getuser())


def _show_preview(preview: Any, as_json: bool) -> None:
    if as_json:
        say_json(preview)
    else:
        show_preview(preview)


def _show_made(made: Any, as_json: bool) -> None:
    if as_json:
        say_json(made)
        return
    silence_row = made["silence"]
    say(
        f"Silence {silence_row['id']} is {silence_row['state']} until {clock(silence_row['ends_at'])}. End it earlier:"
        f" tds alerts silences end {silence_row['id']}"
    )
    show_preview(made["mutes"])


@silences_app.callback(invoke_without_command=True)
def listed(
    context: typer.Context,
    with_ended: bool = typer.Option(False, "--all", help="Also those that have ended."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show silences and maintenance windows, the newest first."""
    if context.invoked_subcommand:
        return
    is_open = None if with_ended else True
    if api := remote():
        rows = api.page(PATH, limit=MOST, open=is_open)
    else:
        with transaction() as session:
            rows = core.silences(session, limit=MOST, is_open=is_open).items
    if as_json:
        say_json(rows)
    else:
        show_silences(rows)


_SILENCE = typer.Argument(help="A silence's number, see: tds alerts silences", metavar="ID", min=1)


@silences_app.command()
def end(silence_id: int = _SILENCE, as_json: bool = _AS_JSON) -> None:
    """End a silence now; what fires then sends its message."""
    if api := remote():
        row = api.post(f"{PATH}/{silence_id}/end")
    else:
        with acting("alerts.silences.end", silence_id) as session:
            row = core.end(session, silence_id, by=getuser())
    if as_json:
        say_json(row)
    else:
        say(f"Silence {silence_id} ended at {clock(row['ended_at'])}. What fires is told: tds alerts list")


@silences_app.command()
def extend(silence_id: int = _SILENCE, lasts: str = _LASTS, until: str = _UNTIL, as_json: bool = _AS_JSON) -> None:
    """Let a silence end at another time: so long from now on, or at a moment."""
    if bool(lasts) == bool(until):
        raise ConfigError(f"Say how long: tds alerts silences extend {silence_id} --for 2h, or --until WHEN.")
    body = {"lasts_seconds": read_duration(lasts).total_seconds()} if lasts else {"ends_at": read_moment(until)}
    if api := remote():
        row = api.post(f"{PATH}/{silence_id}/extend", body)
    else:
        with acting("alerts.silences.extend", silence_id, detail=body) as session:
            ends_at = read_moment(until) or database_clock(session) + read_duration(lasts)
            row = core.extend(session, silence_id, ends_at=ends_at)
    if as_json:
        say_json(row)
    else:
        say(f"Silence {silence_id} goes on until {clock(row['ends_at'])}.")
