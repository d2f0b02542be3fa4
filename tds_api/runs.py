"""Routes of runs: seen, asked for, cancelled, and decided when they are held."""

from typing import Any

from tds_api.blueprint import Blueprint
from tds_api.callers import acting
from tds_api.correlation import correlation_id
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.common import page_schema
from tds_api.schemas.runs import Approval, Run, RunArguments, RunRequest, SyncAnswer, WholeRun
from tds_core.reading import runs as reading
from tds_core.reading.errors import NotFoundError
from tds_core.sync import asking, holds, runs
from tds_models.callers import Role
from tds_models.db import session_scope


def run_routes(edge: Edge) -> Blueprint:
    """Runs."""
    routes = Blueprint("runs", __name__, url_prefix="/api/tds/runs", description="Runs: passes over what Zoho lists")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.arguments(RunArguments, location="query")
    @routes.response(200, page_schema(Run))
    def listed(arguments: dict[str, Any]) -> Any:
        """Runs, the newest first; those that wait for a decision with `state=held`."""
        with session_scope(edge.engine) as session:
            return reading.runs(session, **arguments)

    @routes.post("")
    @needs(Role.OPERATOR)
    @routes.arguments(RunRequest)
    @routes.response(202, SyncAnswer)
    def start(arguments: dict[str, Any]) -> Any:
        """Ask for a run. An open pass is not begun twice; a full one waits behind an incremental one that runs."""
        return asked(edge, **arguments)

    @routes.get("/<int:run_id>")
    @needs(Role.VIEWER)
    @routes.response(200, WholeRun)
    def one(run_id: int) -> Any:
        """One run: how far it is, what held it, what a dry run found."""
        with session_scope(edge.engine) as session:
            return reading.run(session, _fitting(run_id))

    _decisions(routes, edge)
    return routes


def _decisions(routes: Blueprint, edge: Edge) -> None:
    @routes.post("/<int:run_id>/cancel")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeRun)
    def cancel(run_id: int) -> Any:
        """Stop a run before its next page; one that has ended stays as it ended."""
        with session_scope(edge.engine) as session:
            runs.cancel(session, _fitting(run_id), by=acting())
            return reading.run(session, run_id)

    @routes.post("/<int:run_id>/approve")
    @needs(Role.OPERATOR)
    @routes.arguments(Approval)
    @routes.response(200, WholeRun)
    def approve(arguments: dict[str, Any], run_id: int) -> Any:
        """Let a held run go on where it stopped, up to so many records; beyond them it is held again."""
        with session_scope(edge.engine) as session:
            reading.run(session, _fitting(run_id))
            holds.approve(session, run_id, by=acting(), **arguments)
            return reading.run(session, run_id)

    @routes.post("/<int:run_id>/reject")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeRun)
    def reject(run_id: int) -> Any:
        """End a held run; what it wrote before stays, and it changes nothing more."""
        with session_scope(edge.engine) as session:
            reading.run(session, _fitting(run_id))
            holds.reject(session, run_id, by=acting())
            return reading.run(session, run_id)


def _fitting(run_id: int) -> int:
    if run_id >= 2**63:
        raise NotFoundError(f"There is no run {run_id}.")
    return run_id


def asked(
    edge: Edge, *, entity: str, mode: str, ids: list[str] | None = None, full: bool = False, force: bool = False
) -> dict[str, Any]:
    """Ask for a run and wake the workers. Returns a `SyncAnswer`."""
    answer: dict[str, Any] = {"entity": entity, "mode": mode}
    with session_scope(edge.engine) as session:
        answer["run_id"] = asking.ask(
            session,
            entity=entity,
            mode=mode,
            ids=ids or (),
            full=full,
            force=force,
            requested_by=acting(),
            correlation_id=correlation_id(),
        )
    if ids:
        answer["item_count"] = len(set(ids))
    edge.bell.ask([entity])
    return answer
