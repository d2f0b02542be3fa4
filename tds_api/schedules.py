"""Routes of the timetable: seen, given another rhythm, paused, resumed, and run out of turn."""

from typing import Any

from tds_api.blueprint import Blueprint
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.schedules import Job, JobChange
from tds_core.errors import ConfigError
from tds_core.reading.schedules import schedule, schedules
from tds_core.sync.asking import AskedWrongError
from tds_core.timetable import orders
from tds_models.callers import Role
from tds_models.db import session_scope


def schedule_routes(edge: Edge) -> Blueprint:
    """The timetable."""
    routes = Blueprint("schedules", __name__, url_prefix="/api/tds/schedules", description="The timetable")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, Job(many=True))
    def listed() -> Any:
        """Every job, its last slot and how that ended, and when it runs next."""
        with session_scope(edge.engine) as session:
            return schedules(session)

    @routes.get("/<name>")
    @needs(Role.VIEWER)
    @routes.response(200, Job)
    def one(name: str) -> Any:
        """One job."""
        with session_scope(edge.engine) as session:
            return schedule(session, name)

    _order_routes(routes, edge)
    return routes


def _order_routes(routes: Blueprint, edge: Edge) -> None:
    @routes.put("/<name>")
    @needs(Role.OPERATOR)
    @routes.arguments(JobChange)
    @routes.response(200, Job)
    def change(arguments: dict[str, Any], name: str) -> Any:
        """Give a job another rhythm, or say what happens to slots it misses; at once and without a restart."""
        with session_scope(edge.engine) as session:
            schedule(session, name)
            if "cron" in arguments:
                try:
                    orders.set_rhythm(session, name, arguments["cron"])
                except ConfigError as error:
                    raise AskedWrongError(str(error)) from None
            if "missed" in arguments:
                orders.set_missed(session, name, arguments["missed"])
            return schedule(session, name)

    @routes.post("/<name>/run")
    @needs(Role.OPERATOR)
    @routes.response(202, Job)
    def run(name: str) -> Any:
        """Run a job out of turn; whoever next looks at the timetable, within seconds, takes it."""
        with session_scope(edge.engine) as session:
            orders.ask_now(session, name)
            return schedule(session, name)

    @routes.post("/<name>/pause")
    @needs(Role.OPERATOR)
    @routes.response(200, Job)
    def pause(name: str) -> Any:
        """Let no slot of a job run until it is resumed."""
        with session_scope(edge.engine) as session:
            orders.pause(session, name)
            return schedule(session, name)

    @routes.post("/<name>/resume")
    @needs(Role.OPERATOR)
    @routes.response(200, Job)
    def resume(name: str) -> Any:
        """Let a job run again from its next slot on; slots that went by meanwhile are not caught up."""
        with session_scope(edge.engine) as session:
            orders.resume(session, name)
            return schedule(session, name)
