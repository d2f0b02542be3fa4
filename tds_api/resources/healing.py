"""Routes of auto-healing: run a cycle, its statistics and its history; and the Prometheus gauges of the workers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from marshmallow import Schema, fields, validate
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tds_api.auth.authentication import acting
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.common import Arguments, PageArguments, id_field, instant_field, page_schema, perhaps_instant_field
from tds_core.healing import cycle
from tds_core.healing import stats as healing_stats
from tds_core.healing.action_log import Cause, HealingOutcome
from tds_core.healing.context import HealingContext, healing_context
from tds_core.healing.cycle import ACTIONS
from tds_models.auth import Role
from tds_models.db import session_scope
from tds_tasks.worker import leases


def _seconds(description: str) -> fields.Float:
    return fields.Float(allow_none=True, metadata={"description": description})


class HealingArguments(Arguments):
    """Which time the figures are of."""

    hours = fields.Integer(load_default=24, validate=validate.Range(1, 2160))


class HistoryArguments(PageArguments):
    """Which deeds."""

    action = fields.String(validate=validate.OneOf([each.name for each in ACTIONS]))
    outcome = fields.String(validate=validate.OneOf(list(HealingOutcome)))
    since = instant_field()


class HealingDeed(Schema):
    """One thing that was put right, or that a person is told of."""

    id = id_field()
    acted_at = instant_field()
    cycle_id = fields.String(allow_none=True, metadata={"description": "null: between two cycles"})
    action = fields.String()
    cause = fields.String(validate=validate.OneOf(list(Cause)))
    entity = fields.String(allow_none=True)
    subject = fields.String(allow_none=True, metadata={"description": "a breaker, a worker, a queue, a run"})
    count = fields.Integer()
    outcome = fields.String(validate=validate.OneOf(list(HealingOutcome)))
    lasted_seconds = _seconds("how long it had been wrong by then; null where nobody knows")
    detail = fields.Raw()


class HealingCycle(Schema):
    """One look at everything that can be healed."""

    id = id_field()
    began_at = instant_field()
    ended_at = perhaps_instant_field("null while it is under way")
    cause = fields.String(validate=validate.OneOf(list(Cause)))
    requested_by = fields.String(allow_none=True)
    counts = fields.Raw(metadata={"description": "what each action put right or told of; null: it failed"})


class WholeCycle(HealingCycle):
    """A cycle with what it did."""

    actions = fields.List(fields.Nested(HealingDeed))


class ActionFigures(Schema):
    """What one action did."""

    action = fields.String()
    meaning = fields.String()
    count = fields.Integer()
    done_count = fields.Integer()
    failed_count = fields.Integer()
    reported_count = fields.Integer()
    success_share = fields.Float(allow_none=True, metadata={"description": "from 0 to 1, of what was tried"})
    mean_lasted_seconds = _seconds("how long it had been wrong until it was put right")
    last_at = perhaps_instant_field()


class Recovery(Schema):
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


class Worker(Schema):
    """A worker as it tells of itself, or one that was found deaf."""

    name = fields.String()
    process = fields.String()
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


class QueueHeard(Schema):
    """When a canary was last heard on a queue."""

    queue = fields.String()
    sent_at = instant_field()
    heard_at = perhaps_instant_field()
    heard_by = fields.String(allow_none=True)
    heard_seconds = _seconds("how long that canary took")
    unanswered_count = fields.Integer(metadata={"description": "canaries since that nobody heard"})
    unanswered_since = perhaps_instant_field()


class HealingFigures(Schema):
    """What healing did lately, how records recovered, and who listens."""

    hours = fields.Integer()
    cycle_count = fields.Integer()
    unfinished_count = fields.Integer()
    last_cycle = fields.Nested(HealingCycle, allow_none=True)
    actions = fields.List(fields.Nested(ActionFigures))
    recovery = fields.Nested(Recovery)
    workers = fields.List(fields.Nested(Worker))
    queues = fields.List(fields.Nested(QueueHeard))


def healing_routes(edge: Context) -> Blueprint:
    """Auto-healing."""
    routes = Blueprint(
        "auto-healing", __name__, url_prefix="/api/tds/auto-healing", description="What goes wrong and is put right"
    )

    @routes.post("/run")
    @needs(Role.OPERATOR)
    @routes.response(200, WholeCycle)
    def run() -> Any:
        """Look at everything that can be healed, now and in this process, and put it right; Redis may be away."""
        context = _healing_context(edge)
        with context.scope() as session:
            cycle_id = cycle.begin(session, cause=Cause.OPERATOR, by=acting())
        cycle.run(context, cycle_id, cause=Cause.OPERATOR)
        with context.scope() as session:
            return healing_stats.cycle_details(session, cycle_id)

    @routes.get("/stats")
    @needs(Role.VIEWER)
    @routes.arguments(HealingArguments, location="query")
    @routes.response(200, HealingFigures)
    def stats(arguments: dict[str, Any]) -> Any:
        """What each action did, how soon records recovered, the last cycle, and which workers listen."""
        with session_scope(edge.engine) as session:
            return healing_stats.healing_stats(session, **arguments)

    @routes.get("/history")
    @needs(Role.VIEWER)
    @routes.arguments(HistoryArguments, location="query")
    @routes.response(200, page_schema(HealingDeed))
    def history(arguments: dict[str, Any]) -> Any:
        """What was put right or told of, the newest first."""
        with session_scope(edge.engine) as session:
            return healing_stats.history(session, **arguments)

    return routes


def _healing_context(edge: Context) -> HealingContext:
    def scope() -> AbstractContextManager[Session]:
        return session_scope(edge.engine)

    def announce(entity: str) -> bool:
        edge.bell.ask([entity])
        return True

    return healing_context(edge.settings, scope, edge.breakers, announce=announce, dead=leases.dead)


class ListenerGauges(Collector):
    """Reads who listens when it is asked; while that cannot be read it says nothing."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        try:
            with session_scope(self._engine) as session:
                workers, queues = healing_stats.worker_counts(session), healing_stats.unanswered_seconds(session)
        except SQLAlchemyError:
            return
        states = GaugeMetricFamily("tds_workers", "Workers, by how they do.", labels=["state"])
        for state, count in workers.items():
            states.add_metric([state], count)
        yield states
        unheard = GaugeMetricFamily(
            "tds_queue_unheard_seconds",
            "Since when canaries on a queue go unheard; 0: they are heard.",
            labels=["queue"],
        )
        for queue, seconds in queues.items():
            unheard.add_metric([queue], seconds)
        yield unheard
