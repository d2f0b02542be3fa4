"""Routes of auto-healing: run a cycle now, statistics, and the history of actions."""

from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import Any

from marshmallow import Schema, fields, validate
from sqlalchemy.orm import Session

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import (
    ArgumentsSchema,
    PageArgumentsSchema,
    id_field,
    instant_field,
    page_schema,
    perhaps_instant_field,
)
from tds_core.healing import cycle
from tds_core.healing import stats as healing_stats
from tds_core.healing.action_log import Cause, HealingOutcome
from tds_core.healing.context import HealingContext, healing_context
from tds_core.healing.cycle import ACTIONS
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_tasks.worker import lease_holder_liveness


def _seconds(description: str) -> fields.Float:
    return fields.Float(allow_none=True, metadata={"description": description})


class HealingArgumentsSchema(ArgumentsSchema):
    """The time span of the figures."""

    hours = fields.Integer(load_default=24, validate=validate.Range(1, 2160))


class HistoryArgumentsSchema(PageArgumentsSchema):
    """Which actions."""

    action = fields.String(validate=validate.OneOf([each.name for each in ACTIONS]))
    outcome = fields.String(validate=validate.OneOf(list(HealingOutcome)))
    since = instant_field()


class HealingActionSchema(Schema):
    """One action of healing: something put right, or reported to people."""

    id = id_field()
    acted_at = instant_field()
    cycle_id = fields.String(allow_none=True, metadata={"description": "null: between two cycles"})
    action = fields.String()
    cause = fields.String(validate=validate.OneOf(list(Cause)))
    entity = fields.String(allow_none=True)
    subject = fields.String(allow_none=True, metadata={"description": "a breaker, a worker, a queue, a run"})
    count = fields.Integer()
    outcome = fields.String(validate=validate.OneOf(list(HealingOutcome)))
    lasted_seconds = _seconds("how long it had been wrong by then; null if unknown")
    detail = fields.Raw()


class HealingCycleSchema(Schema):
    """One cycle of healing."""

    id = id_field()
    began_at = instant_field()
    ended_at = perhaps_instant_field("null while it is under way")
    cause = fields.String(validate=validate.OneOf(list(Cause)))
    requested_by = fields.String(allow_none=True)
    counts = fields.Raw(metadata={"description": "what each action put right or reported; null: it failed"})


class WholeCycleSchema(HealingCycleSchema):
    """A cycle with its actions."""

    actions = fields.List(fields.Nested(HealingActionSchema))


class ActionFiguresSchema(Schema):
    """The figures of one kind of action."""

    action = fields.String()
    meaning = fields.String()
    count = fields.Integer()
    done_count = fields.Integer()
    failed_count = fields.Integer()
    reported_count = fields.Integer()
    success_share = fields.Float(allow_none=True, metadata={"description": "from 0 to 1, of what was tried"})
    mean_lasted_seconds = _seconds("how long it had been wrong until it was put right")
    last_at = perhaps_instant_field()


class RecoverySchema(Schema):
    """What became of records whose sync failed."""

    troubled_count = fields.Integer()
    recovered_count = fields.Integer(metadata={"description": "without a person"})
    by_person_count = fields.Integer()
    dead_count = fields.Integer(metadata={"description": "dead letters"})
    under_way_count = fields.Integer()
    unaided_share = fields.Float(
        allow_none=True, metadata={"description": "recovered without a person, of those that are not under way"}
    )
    mean_seconds = _seconds("from the first failure to the next success, without a person")
    median_seconds = _seconds("the same, of the one in the middle")
    longest_seconds = _seconds("the same, of the longest")


class WorkerSchema(Schema):
    """A worker by its own reports, or one found not consuming."""

    name = fields.String()
    process = fields.String()
    version = fields.String(allow_none=True, metadata={"description": "of TDS; null: it does not tell"})
    state = fields.String(metadata={"description": "listening, busy, silent or deaf"})
    slot_count = fields.Integer()
    busy_count = fields.Integer()
    queues = fields.List(fields.String())
    lost_queues = fields.List(fields.String())
    started_at = instant_field()
    alive_at = instant_field()
    heard_at = instant_field()
    deaf_at = perhaps_instant_field()
    deaf_reason = fields.String(allow_none=True)
    ended_at = perhaps_instant_field()
    is_replaced = fields.Boolean(metadata={"description": "a worker began since"})


class CanaryStatusSchema(Schema):
    """The last answered canary of a queue, and those unanswered since."""

    queue = fields.String()
    sent_at = instant_field()
    heard_at = perhaps_instant_field()
    heard_by = fields.String(allow_none=True)
    heard_seconds = _seconds("how long that canary took")
    unanswered_count = fields.Integer(metadata={"description": "canaries unanswered since"})
    unanswered_since = perhaps_instant_field()


class HealingFiguresSchema(Schema):
    """What healing did lately, how records recovered, and which workers consume."""

    hours = fields.Integer()
    cycle_count = fields.Integer()
    unfinished_count = fields.Integer()
    last_cycle = fields.Nested(HealingCycleSchema, allow_none=True)
    actions = fields.List(fields.Nested(ActionFiguresSchema))
    recovery = fields.Nested(RecoverySchema)
    workers = fields.List(fields.Nested(WorkerSchema))
    queues = fields.List(fields.Nested(CanaryStatusSchema))


class ProcessSchema(Schema):
    """A part of TDS that reports itself."""

    name = fields.String()
    beat_at = instant_field()
    silent_seconds = fields.Float()


class ProcessesSchema(Schema):
    """What runs."""

    version = fields.String(metadata={"description": "of the process that answers"})
    flower_url = fields.String(metadata={"description": "where Flower shows Celery's tasks, on that machine alone"})
    workers = fields.List(fields.Nested(WorkerSchema))
    queues = fields.List(fields.Nested(CanaryStatusSchema))
    processes = fields.List(fields.Nested(ProcessSchema))


def worker_routes(context: Context) -> Blueprint:
    """Workers."""
    routes = Blueprint("workers", __name__, url_prefix="/api/tds/workers", description="Which processes run")

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, ProcessesSchema)
    def workers() -> Any:
        """Workers by their own reports, the queues they consume, and the heartbeats of the other processes."""
        with session_scope(context.engine) as session:
            running = healing_stats.processes(session)
        flower_url = f"http://127.0.0.1:{context.settings.flower_port}/"
        return {"version": version("tds"), "flower_url": flower_url, **running}

    return routes


def healing_routes(context: Context) -> Blueprint:
    """Auto-healing."""
    routes = Blueprint(
        "auto-healing", __name__, url_prefix="/api/tds/auto-healing", description="What goes wrong and is put right"
    )

    @routes.post("/run")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeCycleSchema)
    def run() -> Any:
        """Look at everything that can be healed, now and in this process, and put it right; Redis may be away."""
        healing = _healing_context(context)
        with healing.scope() as session:
            cycle_id = cycle.begin(session, cause=Cause.OPERATOR, by=principal_name())
        cycle.run(healing, cycle_id, cause=Cause.OPERATOR)
        with healing.scope() as session:
            return healing_stats.cycle_details(session, cycle_id)

    @routes.get("/stats")
    @needs(Role.VIEWER)
    @routes.arguments(HealingArgumentsSchema, location="query")
    @routes.response(200, HealingFiguresSchema)
    def stats(arguments: dict[str, Any]) -> Any:
        """What each action did, how soon records recovered, the last cycle, and which workers listen."""
        with session_scope(context.engine) as session:
            return healing_stats.healing_stats(session, **arguments)

    @routes.get("/history")
    @needs(Role.VIEWER)
    @routes.arguments(HistoryArgumentsSchema, location="query")
    @routes.response(200, page_schema(HealingActionSchema))
    def history(arguments: dict[str, Any]) -> Any:
        """What was put right or reported, the newest first."""
        with session_scope(context.engine) as session:
            return healing_stats.history(session, **arguments)

    return routes


def _healing_context(context: Context) -> HealingContext:
    def scope() -> AbstractContextManager[Session]:
        return session_scope(context.engine)

    def announce(entity: str) -> bool:
        context.nudger.request([entity])
        return True

    return healing_context(
        context.settings, scope, context.breakers, announce=announce, dead=lease_holder_liveness.dead
    )
