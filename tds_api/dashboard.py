"""Routes that answer the overview: everything a dashboard shows, in one answer."""

from collections.abc import Mapping
from typing import Any

from tds_api.blueprint import Blueprint
from tds_api.edge import Edge
from tds_api.health import whole
from tds_api.permissions import needs
from tds_api.schemas.dashboard import Overview, WholeOverview
from tds_core.reading import reception, work
from tds_core.reading.backlog import detail_calls
from tds_core.reading.quota import shown
from tds_core.reading.schedules import schedules
from tds_core.reading.standings import standings, with_ends
from tds_core.sources.zoho.quota.governor import Governor
from tds_core.sources.zoho.quota.setup import open_governor
from tds_core.sources.zoho.quota.usage import QuotaUnknownError
from tds_core.sync.queue import database_clock
from tds_models.callers import Role
from tds_models.db import session_scope


def dashboard_routes(edge: Edge) -> Blueprint:
    """The overview."""
    routes = Blueprint("dashboard", __name__, url_prefix="/api/tds/dashboard", description="Everything in one answer")
    governor = open_governor(edge.settings)

    def overview() -> dict[str, Any]:
        with session_scope(edge.engine) as session:
            at, received, found = database_clock(session), reception.reception_health(session), standings(session)
        return {"at": at, "health": whole(edge), "reception": received, "entities": with_ends(found, governor)}

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, Overview)
    def short() -> Any:
        """How TDS does, what came in lately, and where every entity stands."""
        return overview()

    @routes.get("/complete")
    @needs(Role.VIEWER)
    @routes.response(200, WholeOverview)
    def complete() -> Any:
        """The same with the queue by entity, the breakers, the quota and the timetable."""
        with session_scope(edge.engine) as session:
            queue, jobs, calls = work.queue_stats(session), schedules(session), detail_calls(session)
        breakers, quota = edge.breakers.states(), _quota(calls, governor)
        return {**overview(), "queue": queue, "breakers": breakers, "quota": quota, "schedules": jobs}

    return routes


def _quota(calls: Mapping[str, int], governor: Governor) -> dict[str, Any] | None:
    try:
        return shown(governor.forecast(calls))
    except QuotaUnknownError:
        return None
