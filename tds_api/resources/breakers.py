"""Routes that show the circuit breakers and let an operator close one; what Prometheus is told of them.

The shape of a circuit breaker.
"""

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, fields, validate
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tds_api.auth.authentication import acting
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.common import perhaps_instant_field
from tds_core.breakers.circuit import CircuitState
from tds_core.breakers.registry import Breakers
from tds_models.auth import Role


class Breaker(Schema):
    """One breaker and its statistics since it was first used."""

    name = fields.String()
    state = fields.String(validate=validate.OneOf(list(CircuitState)))
    call_count = fields.Integer(metadata={"description": "calls that were made"})
    success_count = fields.Integer()
    failure_count = fields.Integer()
    rejection_count = fields.Integer(metadata={"description": "calls that were refused while it was not closed"})
    change_count = fields.Integer(metadata={"description": "changes of its state"})
    success_rate = fields.Float(allow_none=True, metadata={"description": "from 0 to 1"})
    failures_in_row = fields.Integer()
    opened_at = perhaps_instant_field("when it last left the closed state")
    next_probe_at = perhaps_instant_field("null while it is closed")
    changed_at = perhaps_instant_field()
    last_success_at = perhaps_instant_field()
    last_failure_at = perhaps_instant_field()
    last_error = fields.String(allow_none=True)
    reset_by = fields.String(allow_none=True, metadata={"description": "who closed it last by hand"})
    is_shared = fields.Boolean(metadata={"description": "false while Redis is away: the figures of this process alone"})


def breaker_routes(edge: Context) -> Blueprint:
    """Circuit breakers."""
    routes = Blueprint(
        "breakers",
        __name__,
        url_prefix="/api/tds/circuit-breakers",
        description="What is asked, and what is left alone",
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, Breaker(many=True))
    def breakers() -> Any:
        """Every breaker that was ever used, by name, with its statistics."""
        return edge.breakers.states()

    @routes.post("/<name>/reset")
    @needs(Role.OPERATOR)
    @routes.response(200, Breaker)
    def reset(name: str) -> Any:
        """Close a breaker for all processes, which hear of it within a second."""
        return edge.breakers.reset(name, by=acting())

    return routes


class BreakerGauges(Collector):
    """Reads the circuits when it is asked; of breakers nobody can read it says nothing."""

    def __init__(self, breakers: Breakers) -> None:
        self._breakers = breakers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now."""
        state = GaugeMetricFamily("tds_breaker_state", "1 for the state it is in.", labels=["breaker", "state"])
        for found in self._breakers.states():
            for each in CircuitState:
                state.add_metric([found.name, each.value], float(found.state is each))
        yield state
