"""The pages of alerts: what is wrong now, what was, and one alert with all that happened to it."""

from typing import Any

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_api.pages.common.silence_durations import end_of_night, spans
from tds_api.process_context import Context
from tds_models.alerts import AlertSeverity, AlertState
from tds_models.auth import Role

_ENDED_COUNT = 20
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_ACKNOWLEDGEMENTS = (30 * _MINUTE, _HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY)
SILENCES = (_HOUR, 4 * _HOUR, 12 * _HOUR, _DAY, 3 * _DAY, 7 * _DAY, 30 * _DAY)


def alert_pages(context: Context) -> Blueprint:
    """Alerts."""
    routes = Blueprint("alert pages", __name__, url_prefix=f"{HOME}/alerts")

    @routes.get("")
    @needs(Role.VIEWER)
    def alerts() -> Response:
        """Active alerts first, then those that are over; with filters the alerts that fit."""
        api, filters = ApiClient.of_request(), arguments()
        frame = PageFrame(template="alerts.html", title=gettext("Alerts"), rows="alerts", refresh_seconds=5)
        parts = {"alerts": api.get("alerts", **({"active": "true", "limit": 100} | filters))}
        if not filters:
            parts["ended"] = api.get("alerts", active="false", limit=_ENDED_COUNT)
        rules = api.get("alert-rules").items
        return dashboard_page(
            frame, parts, listed=_by_urgency(parts["alerts"].items), rules=[rule["name"] for rule in rules],
            states=list(AlertState), severities=list(AlertSeverity),
            titles={rule["name"]: rule["title"] for rule in rules},
        )  # fmt: skip

    @routes.get("/history")
    @needs(Role.VIEWER)
    def history() -> Response:
        """Changes of the alerts' states, the newest first."""
        api = ApiClient.of_request()
        frame = PageFrame(template="alert_history.html", title=gettext("History of alerts"), rows="transitions")
        rules = [rule["name"] for rule in api.get("alert-rules").items]
        return dashboard_page(frame, {"transitions": api.get("alerts/history", **arguments())}, rules=rules)

    @routes.get("/<int:alert_id>")
    @needs(Role.VIEWER)
    def alert(alert_id: int) -> Response:
        """One alert: cause, what TDS does, the command, its changes, and whom it was told to."""
        title = gettext("Alert %(number)s") % {"number": alert_id}
        frame = PageFrame(template="alert.html", title=title, refresh_seconds=5)
        return dashboard_page(
            frame, {"story": ApiClient.of_request().get(f"alerts/{alert_id}")},
            acknowledgements=spans(_ACKNOWLEDGEMENTS), silences=spans(SILENCES),
            morning=end_of_night(context.settings.time_zone),
        )  # fmt: skip

    return routes


def _by_urgency(alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The worst first; of equal ones the newest change, as the route has them."""
    ranks = list(AlertSeverity)
    return sorted(alerts, key=lambda alert: -ranks.index(alert["severity"]))
