"""The pages of event replays: what the replay of a selection would take in, and the progress of those begun."""

from collections.abc import Mapping
from typing import Any, Final

from flask import Blueprint, Response, request

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.call_costs import CallCost, call_costs
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_models.auth import Role
from tds_models.entities import ENTITIES
from tds_models.inbox import Verdict

CRITERIA: Final = ("entity", "source_id", "verdict", "since", "until", "per_minute")


def event_replay_pages() -> Blueprint:
    """Event replays."""
    routes = Blueprint("event replay pages", __name__, url_prefix=f"{HOME}/webhooks")

    @routes.get("/replay")
    @needs(Role.VIEWER)
    def replay() -> Response:
        """What a replay of the selection in the address would take in; the form below it carries that selection.

        Without a selection there is only the question for one.
        """
        api, selection = ApiClient.of_request(), _selection()
        frame = PageFrame(template="event_replay.html", title=gettext("Replay webhooks"))
        parts = {}
        if selection:
            parts = {
                "preview": api.ask("zoho/webhooks/replay/preview", **selection),
                "quota": api.get("zoho/quota"),
            }
        return dashboard_page(
            frame, parts, selection=selection, entities=list(ENTITIES), verdicts=list(Verdict), costs=_costs(parts)
        )

    @routes.get("/replays")
    @needs(Role.VIEWER)
    def replays() -> Response:
        """Replays of many, the newest first, with their progress."""
        frame = PageFrame(
            template="event_replays.html", title=gettext("Replays of webhooks"), rows="replays", refresh_seconds=3
        )
        return dashboard_page(frame, {"replays": ApiClient.of_request().get("zoho/webhooks/replay", **arguments())})

    return routes


def _selection() -> dict[str, Any]:
    """The selection in the address; nothing given stays nothing, which the routes refuse."""
    selection = {name: request.args.get(name, "").strip() for name in CRITERIA}
    return {name: value for name, value in selection.items() if value}


def _costs(parts: Mapping[str, Answer]) -> list[CallCost]:
    """The calls that read the records whose bodies are incomplete: one each at most."""
    calls: dict[str, int] = {}
    if preview := parts.get("preview"):
        for row in preview.data["by_entity"]:
            if row["entity"] and row["to_read_count"]:
                api = ENTITIES[row["entity"]].stream.api
                calls[api] = calls.get(api, 0) + row["to_read_count"]
        return call_costs(calls, calls, parts["quota"])
    return []
