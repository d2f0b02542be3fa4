"""Routes that answer the overview: everything a dashboard shows, in one answer of one moment."""

from typing import Any

from sqlalchemy.orm import Session

from tds_api.blueprint import Blueprint
from tds_api.edge import Edge
from tds_api.health import whole
from tds_api.permissions import needs
from tds_api.schemas.dashboard import Overview, WholeOverview
from tds_core.reading import reception, work
from tds_core.reading.backlog import detail_calls
from tds_core.reading.quota import shown
from tds_core.reading.schedules import schedules
from tds_core.reading.standings import standings
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

    def overview(session: Session) -> dict[str, Any]:
        return {
            "at": database_clock(session),
            "reception": reception.reception_health(session),
            "entities": standings(session, governor),
        }

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, Overview)
    def short() -> Any:
        """How TDS does, what came in lately, and where every entity stands."""
        health = whole(edge)
        with session_scope(edge.engine) as session:
            return {**overview(session), "health": health}

    @routes.get("/complete")
    @needs(Role.VIEWER)
    @routes.response(200, WholeOverview)
    def complete() -> Any:
        """The same with the queue by entity, the breakers, the quota and the timetable."""
        health = whole(edge)
        with session_scope(edge.engine) as session:
            return {
                **overview(session),
                "health": health,
                "queue": work.queue_stats(session),
                "breakers": edge.breakers.states(),
                "quota": _quota(session, governor),
                "schedules": schedules(session),
            }

    return routes


def _quota(session: Session, governor: Governor) -> dict[str, Any] | None:
    try:
        return shown(governor.forecast(detail_calls(session)))
    except QuotaUnknownError:
        return None
