"""The page of the set-up: its steps, what the check of each saw, and the one act that is next."""

from typing import Final

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.layout import N_
from tds_api.pages.common.page_rendering import PageFrame, dashboard_page
from tds_core.statistics.set_up import StepName
from tds_models.auth import Role

_TITLES: Final = {
    StepName.CONNECTION: N_("Connect Zoho"),
    StepName.FIRST_SYNC: N_("Read everything once"),
    StepName.WEBHOOKS: N_("Let Zoho tell of changes"),
    StepName.FIRST_PROOF: N_("Prove that the mirror is equal"),
    StepName.ALERT_CHANNEL: N_("Say where alerts are sent"),
}


def set_up_pages() -> Blueprint:
    """The set-up."""
    routes = Blueprint("set-up page", __name__, url_prefix=f"{HOME}/set-up")

    @routes.get("")
    @needs(Role.VIEWER)
    def set_up() -> Response:
        """The steps, and the first sync with its progress while it is under way."""
        api = ApiClient.of_request()
        frame = PageFrame(template="set_up.html", title=gettext("Set-up"), refresh_seconds=3)
        parts = {"set_up": api.get("dashboard/set-up")}
        names = [step["name"] for step in parts["set_up"].data["steps"]] if parts["set_up"] else []
        if StepName.FIRST_SYNC in names and not _is_done(parts["set_up"].data, StepName.FIRST_SYNC):
            parts["runs"] = api.get("runs", mode="full", limit=50)
        return dashboard_page(frame, parts, titles={name: gettext(_TITLES[StepName(name)]) for name in names})

    return routes


def _is_done(document: dict[str, list[dict[str, str]]], name: StepName) -> bool:
    return any(step["name"] == name and step["state"] == "done" for step in document["steps"])
