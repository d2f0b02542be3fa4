"""The overview: whether all is well, what is wrong and what to do about it, and the state of every entity."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint, Response

from tds_api.auth.permissions import answers_during_outages, needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.answer import Answer
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, dashboard_page
from tds_models.auth import Role

_PARTS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "health": ("health/complete", {}),
    "entities": ("entities", {}),
    "queue": ("queue/stats", {}),
    "breakers": ("circuit-breakers", {}),
    "quota": ("zoho/quota", {}),
    "alerts": ("alerts", {"active": "true", "limit": 10}),
    "runs": ("runs", {"state": "running", "limit": 5}),
    "held": ("runs", {"state": "held", "limit": 5}),
    "comparison": ("statistics/compare", {}),
    "set_up": ("dashboard/set-up", {}),
    "dead_letters": ("dead-letter", {"group_by": "fingerprint", "limit": 5}),
}
#: Figures over many rows, which all readers share.
_CACHED_PARTS: Mapping[str, str] = {"reception": "zoho/webhooks/health", "work": "statistics/health"}


@dataclass(slots=True)
class LastAnswer:
    """The last answers of this process, for the time in which there are none."""

    parts: Mapping[str, Answer] | None = None
    at: datetime | None = None

    def store(self, parts: Mapping[str, Answer]) -> None:
        """Keep what was answered now."""
        self.parts, self.at = parts, datetime.now(UTC)


def overview_pages() -> Blueprint:
    """The overview."""
    routes = Blueprint("overview page", __name__, url_prefix=HOME)
    last = LastAnswer()

    @routes.get("")
    @needs(Role.VIEWER)
    @answers_during_outages
    def overview() -> Response:
        """Health, alerts, work in hand, webhooks, quota and the entities; without PostgreSQL the last ones known."""
        api = ApiClient.of_request()
        frame = PageFrame(template="overview.html", title=gettext("Overview"), rows="alerts", refresh_seconds=5)
        parts = _read(api)
        problem = parts["health"].problem
        if problem is None:
            last.store(parts)
        if problem is None or problem.get("code") != "database_unavailable":
            return dashboard_page(frame, parts)
        # /health answers without the database, and names what is away.
        return dashboard_page(frame, last.parts or parts, outage=api.get("health"), as_of=last.at)

    return routes


def _read(api: ApiClient) -> dict[str, Answer]:
    """All parts; after the first refusal no other is asked for, so that an outage is told at once."""
    health = api.get(_PARTS["health"][0])
    if not health:
        return dict.fromkeys((*_PARTS, *_CACHED_PARTS), health)
    parts = {"health": health}
    parts |= {name: api.get(path, **query) for name, (path, query) in _PARTS.items() if name != "health"}
    return parts | {name: api.get_cached(path) for name, path in _CACHED_PARTS.items()}
