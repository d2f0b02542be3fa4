"""Routes that show the circuit breakers and let an operator close one; what Prometheus is told of them."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tds_api.blueprint import Blueprint
from tds_api.callers import acting
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.breakers import Breaker
from tds_core.breakers.breakers import Breakers
from tds_core.breakers.circuit import State
from tds_models.callers import Role


def breaker_routes(edge: Edge) -> Blueprint:
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
            for each in State:
                state.add_metric([found.name, each.value], float(found.state is each))
        yield state
