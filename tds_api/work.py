"""Routes that show runs and the live queue, and ask for syncs."""

from typing import Any

from flask_smorest import Blueprint

from tds_api.correlation import correlation_id
from tds_api.edge import Edge
from tds_api.errors import ArgumentsError
from tds_api.schemas.common import page_schema
from tds_api.schemas.mirror import SyncAnswer, SyncArguments
from tds_api.schemas.work import QueueArguments, QueueStats, Run, RunArguments, WorkItem
from tds_core.reading import work
from tds_core.reading.errors import NotFoundError
from tds_core.sync.queue import enqueue
from tds_core.sync.runs import cancel, request_run
from tds_models.db import session_scope
from tds_models.entities import ENTITIES


def work_routes(edge: Edge) -> Blueprint:
    """Runs and work items."""
    routes = Blueprint("work", __name__, url_prefix="/api/tds", description="Runs and the live queue")

    @routes.get("/runs")
    @routes.arguments(RunArguments, location="query")
    @routes.response(200, page_schema(Run))
    def runs(arguments: dict[str, Any]) -> Any:
        """Runs, the newest first."""
        with session_scope(edge.engine) as session:
            return work.runs(session, **arguments)

    _run_routes(routes, edge)

    @routes.get("/queue")
    @routes.arguments(QueueArguments, location="query")
    @routes.response(200, page_schema(WorkItem))
    def queue(arguments: dict[str, Any]) -> Any:
        """Live work items, the newest first."""
        with session_scope(edge.engine) as session:
            return work.queue(session, **arguments)

    @routes.get("/queue/stats")
    @routes.response(200, QueueStats(many=True))
    def queue_stats() -> Any:
        """Due, waiting and leased items by entity."""
        with session_scope(edge.engine) as session:
            return work.queue_stats(session)

    @routes.post("/sync/<entity>")
    @routes.arguments(SyncArguments)
    @routes.response(202, SyncAnswer)
    def sync(arguments: dict[str, Any], entity: str) -> Any:
        """Ask for a sync: a pass over the stream, or given records. An open pass is not begun twice."""
        if entity not in ENTITIES:
            raise NotFoundError(f"TDS mirrors nothing called {entity[:80]!r}.")
        return _asked(edge, entity, arguments["mode"], arguments.get("ids"))

    return routes


def _run_routes(routes: Blueprint, edge: Edge) -> None:
    @routes.get("/runs/<int:run_id>")
    @routes.response(200, Run)
    def run(run_id: int) -> Any:
        """One run."""
        _must_fit(run_id)
        with session_scope(edge.engine) as session:
            return work.run(session, run_id)

    @routes.post("/runs/<int:run_id>/cancel")
    @routes.response(200, Run)
    def cancel_run(run_id: int) -> Any:
        """Stop a run before its next page; one that has ended stays as it ended."""
        _must_fit(run_id)
        with session_scope(edge.engine) as session:
            cancel(session, run_id, by="operator")
            return work.run(session, run_id)


def _must_fit(run_id: int) -> None:
    if run_id >= 2**63:
        raise NotFoundError(f"There is no run {run_id}.")


def _asked(edge: Edge, entity: str, mode: str, ids: list[str] | None) -> dict[str, Any]:
    if (mode == "targeted") != bool(ids):
        raise ArgumentsError("`ids` belongs to mode targeted, and to no other.")
    answer: dict[str, Any] = {"entity": entity, "mode": mode}
    with session_scope(edge.engine) as session:
        if ids:
            answer["item_count"] = enqueue(
                session, entity=entity, source_ids=ids, origin="operator", must_read=True,
                correlation_id=correlation_id(),
            )  # fmt: skip
        else:
            answer["run_id"] = request_run(
                session, entity=entity, mode=mode, requested_by="operator", correlation_id=correlation_id()
            )
    edge.bell.ask([entity])
    return answer
