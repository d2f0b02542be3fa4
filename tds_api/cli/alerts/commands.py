"""`tds alerts`: lists alerts, shows one with its story, acknowledges, silences and resolves it."""

from getpass import getuser
from typing import Annotated, Any

import typer

from tds_api.cli.alerts.channels import channels_app
from tds_api.cli.alerts.rules import rules_app
from tds_api.cli.alerts.silences import silence, silences_app
from tds_api.cli.alerts.views import clock, show_alerts, show_story, show_transitions
from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_api.cli.common.output import read_duration, say, say_json
from tds_api.cli.common.remote_api import remote
from tds_core.alerts import operator_actions, queries
from tds_core.alerts.rules import RULES
from tds_core.config.settings import load_settings
from tds_core.observability.logging import configure_logging
from tds_models.alerts import AlertSeverity, AlertState

PATH, MOST = "/alerts", 500

AlertId = Annotated[int, typer.Argument(help="An alert's number, see: tds alerts list", metavar="ID", min=1)]

_AS_JSON = typer.Option(False, "--json", help="For programs.")

alerts = typer.Typer(no_args_is_help=True, help="What a person has to know now: alerts, silences, rules, channels.")


@alerts.callback()
def without_log_lines() -> None:
    """Changes of alerts are logged; here, only what a command says is printed."""
    configure_logging(load_settings().replace("command line", log_level="ERROR"), process="cli")


@alerts.command("list")
def listed(
    *,
    with_ended: bool = typer.Option(False, "--all", help="Also those that are over."),
    rule: str = typer.Option("", help="Of this rule only, see: tds alerts rules"),
    severity: Annotated[AlertSeverity | None, typer.Option(help="Of this severity only.")] = None,
    state: Annotated[AlertState | None, typer.Option(help="In this state only.")] = None,
    limit: int = typer.Option(MOST, min=1, max=MOST, help="So many."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show the alerts that are active, the newest change first."""
    filters: dict[str, Any] = {"rule": rule or None, "severity": severity and severity.value}
    filters["state"] = state and state.value
    is_active = None if with_ended or state else True
    if api := remote():
        rows = api.page(PATH, limit=limit, active=is_active, **filters)
    else:
        with transaction() as session:
            rows = queries.alerts(session, limit=limit, is_active=is_active, **filters).items
    if as_json:
        say_json(rows)
        return
    show_alerts("Alerts" if is_active is None else "Active alerts", rows)
    if rows:
        say(f"More of one, and what to do: tds alerts show {rows[0]['id']}", err=True)


@alerts.command()
def show(alert_id: AlertId, as_json: bool = _AS_JSON) -> None:
    """Show one alert: what it says, the likely cause, what to do, its changes, and who was told."""
    if api := remote():
        story = api.get(f"{PATH}/{alert_id}")
    else:
        with transaction() as session:
            story = queries.story(session, alert_id, RULES)
    if as_json:
        say_json(story)
    else:
        show_story(story)


@alerts.command()
def ack(
    alert_id: AlertId,
    *,
    lasts: str = typer.Option("4h", "--for", metavar="TIME", help="So long you take care of it: 30min, 4h, 2d."),
    note: str = typer.Option("", help="What you do about it."),
    as_json: bool = _AS_JSON,
) -> None:
    """Take care of an alert: no reminder and no escalation until the time is over or it ends."""
    duration = read_duration(lasts)
    detail = {"lasts_seconds": duration.total_seconds(), **({"note": note} if note else {})}
    if api := remote():
        alert = api.post(f"{PATH}/{alert_id}/acknowledge", detail)
    else:
        with acting("alerts.acknowledge", alert_id, detail=detail) as session:
            operator_actions.acknowledge_alert(session, alert_id, by=getuser(), lasts=duration, note=note or None)
            alert = queries.alert(session, alert_id)
    if as_json:
        say_json(alert)
        return
    until = clock(alert["acknowledged_until"])
    say(f"Alert {alert_id} is with {alert['acknowledged_by']} until {until}. Give it back: tds alerts unack {alert_id}")


@alerts.command()
def unack(alert_id: AlertId, as_json: bool = _AS_JSON) -> None:
    """Take care of an alert no longer: it sends messages again."""
    if api := remote():
        alert = api.post(f"{PATH}/{alert_id}/unacknowledge")
    else:
        with acting("alerts.unacknowledge", alert_id) as session:
            operator_actions.unacknowledge_alert(session, alert_id, by=getuser())
            alert = queries.alert(session, alert_id)
    if as_json:
        say_json(alert)
    else:
        say(f"Alert {alert_id} is {alert['state']} again, and its channels are told.")


@alerts.command()
def resolve(alert_id: AlertId, note: str = typer.Option("", help="Why it is over."), as_json: bool = _AS_JSON) -> None:
    """End an alert by hand; while its condition is met, it fires again."""
    detail = {"note": note} if note else {}
    if api := remote():
        alert = api.post(f"{PATH}/{alert_id}/resolve", detail)
    else:
        with acting("alerts.resolve", alert_id, detail=detail) as session:
            operator_actions.resolve_alert(session, alert_id, by=getuser(), note=note or None)
            alert = queries.alert(session, alert_id)
    if as_json:
        say_json(alert)
        return
    say(
        f"Alert {alert_id} is resolved. If it fires again though you know of it: tds alerts silence {alert_id} --for 2h"
        ' --reason "..."'
    )


@alerts.command()
def history(
    *,
    rule: str = typer.Option("", help="Of this rule only, see: tds alerts rules"),
    limit: int = typer.Option(50, min=1, max=MOST, help="So many."),
    as_json: bool = _AS_JSON,
) -> None:
    """Show how alerts changed, the newest first; sealed with the history of the records."""
    if api := remote():
        rows = api.page(f"{PATH}/history", limit=limit, rule=rule)
    else:
        with transaction() as session:
            rows = queries.transitions(session, limit=limit, rule=rule or None).items
    if as_json:
        say_json(rows)
    else:
        show_transitions("Changes of alerts", rows)


alerts.command()(silence)
alerts.add_typer(silences_app, name="silences")
alerts.add_typer(rules_app, name="rules")
alerts.add_typer(channels_app, name="channels")
