"""The pages of silences: which alerts send no messages, and a new one with what it would mute."""

import re
from typing import Any

import msgspec
from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.alerts import SILENCES
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_api.pages.common.silence_durations import end_of_night, spans
from tds_api.process_context import Context
from tds_models.alerts import AlertSeverity
from tds_models.auth import Role

_TONIGHT = "tonight"
_PATTERNS = ("rules", "subjects", "severities")


def alert_silence_pages(context: Context) -> Blueprint:
    """Silences."""
    routes = Blueprint("alert silence pages", __name__, url_prefix=f"{HOME}/alerts/silences")

    @routes.get("")
    @needs(Role.VIEWER)
    def silences() -> Response:
        """Silences and maintenance windows, the newest first."""
        frame = PageFrame(template="alert_silences.html", title=gettext("Silences"), rows="silences",
                          refresh_seconds=10)  # fmt: skip
        parts = {"silences": ApiClient.of_request().get("alert-silences", **arguments())}
        return dashboard_page(frame, parts, spans=spans(SILENCES))

    @routes.get("/new")
    @needs(Role.VIEWER)
    def new() -> Response:
        """A silence to make: its terms in the address, and what it would mute."""
        api, filled = ApiClient.of_request(), arguments()
        frame = PageFrame(template="alert_silence_new.html", title=gettext("New silence"))
        planned = _planned(filled, context.settings.time_zone)
        parts = {"preview": api.ask("alert-silences/preview", **planned)} if filled else {}
        choices = [(_TONIGHT, gettext("tonight, until eight in the morning")), *spans(SILENCES)]
        return dashboard_page(
            frame, parts, planned=planned, fields=_fields(planned), choices=choices, severities=list(AlertSeverity),
            rules=[rule["name"] for rule in api.get("alert-rules").items],
        )  # fmt: skip

    return routes


def _planned(filled: dict[str, Any], zone: str) -> dict[str, Any]:
    """The silence that the form asks for, as the route has it; patterns are separated by commas."""
    planned: dict[str, Any] = {name: _listed(filled.get(name, "")) for name in _PATTERNS}
    planned |= {name: filled[name] for name in ("reason", "cron", "starts_at") if name in filled}
    planned["ends_with_alerts"] = filled.get("ends_with_alerts") == "on"
    if "cron" in filled:
        minutes = str(filled.get("window_minutes", ""))
        planned["duration_seconds"] = int(minutes) * 60 if minutes.isdecimal() and len(minutes) < 9 else minutes
    elif filled.get("lasts") == _TONIGHT:
        planned["ends_at"] = end_of_night(zone).isoformat()
    elif "lasts" in filled:
        planned["lasts_seconds"] = filled["lasts"]
    return {name: value for name, value in planned.items() if value not in ("", [])}


def _listed(value: str | list[str]) -> list[str]:
    parts = value if isinstance(value, list) else re.split(r"[,\n]", value)
    return [part.strip() for part in parts if part.strip()]


def _fields(planned: dict[str, Any]) -> list[tuple[str, str]]:
    """What was previewed, as the hidden fields of the form that makes exactly this."""
    return [
        (f"{name}{{}}", msgspec.json.encode(value).decode()) if not isinstance(value, str) else (name, value)
        for name, value in planned.items()
    ]
