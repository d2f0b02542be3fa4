"""The pages of settings: values in force and where they come from, their history, and changes at run time."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import msgspec
from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_models.auth import Role


def configuration_pages() -> Blueprint:
    """Settings."""
    routes = Blueprint("configuration pages", __name__, url_prefix=f"{HOME}/configuration")

    @routes.get("")
    @needs(Role.VIEWER)
    def settings() -> Response:
        """Every setting by its group; those that can be changed here unless all are asked for."""
        api, filters = ApiClient.of_request(), arguments()
        wanted = str(filters.pop("q", "")).lower()
        frame = PageFrame(template="configuration.html", title=gettext("Settings"), rows="settings")
        parts = {"settings": api.get("configuration", **({"settable": "true"} | filters))}
        return dashboard_page(frame, parts, groups=_by_group(_matching(parts["settings"].items, wanted)))

    @routes.get("/history")
    @needs(Role.VIEWER)
    def history() -> Response:
        """What was changed at run time, the newest first."""
        frame = PageFrame(template="configuration_history.html", title=gettext("Changed settings"), rows="versions")
        return dashboard_page(frame, {"versions": ApiClient.of_request().get("configuration/history", **arguments())})

    @routes.get("/<key>")
    @needs(Role.VIEWER)
    def setting(key: str) -> Response:
        """One setting: its value, what it takes, its versions, and a change."""
        frame = PageFrame(template="setting.html", title=key)
        answer = ApiClient.of_request().get(f"configuration/{key}")
        return dashboard_page(frame, {"setting": answer}, written=_written(answer.data["value"]) if answer else "")

    return routes


def _matching(settings: Iterable[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    return [each for each in settings if wanted in f"{each['key']} {each['meaning']}".lower()]


def _by_group(settings: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Settings of one group stand together, in the order they are declared in."""
    return [(name, list(found)) for name, found in groupby(settings, key=lambda each: each["group"])]


def _written(value: Any) -> str:
    """A value as it is typed into a form."""
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()
