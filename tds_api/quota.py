"""The route that shows the quota of calls to Zoho, and what Prometheus is told of it."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tds_api.blueprint import Blueprint
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.quota import Quota
from tds_core.reading.backlog import detail_calls
from tds_core.reading.quota import shown
from tds_core.sources.zoho.quota.governor import Governor
from tds_core.sources.zoho.quota.setup import open_governor
from tds_core.sources.zoho.quota.usage import Level, QuotaUnknownError
from tds_models.callers import Role
from tds_models.db import session_scope


def quota_routes(edge: Edge) -> Blueprint:
    """The quota."""
    routes = Blueprint("quota", __name__, url_prefix="/api/tds/zoho", description="The quota of calls to Zoho")
    governor = open_governor(edge.settings)

    @routes.get("/quota")
    @needs(Role.VIEWER)
    @routes.response(200, Quota)
    def quota() -> Any:
        """What is used and left in this minute and today, calls at once, when it runs out, when the backlog ends."""
        with session_scope(edge.engine) as session:
            backlog = detail_calls(session)
        return shown(governor.forecast(backlog))

    return routes


class QuotaGauges(Collector):
    """Reads the shared ledger when it is asked; while that cannot be read it says nothing."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges as of now. The minute and the calls at once are those of all products together."""
        try:
            usage = self._governor.usage()
        except QuotaUnknownError:
            return
        levels: list[tuple[str, str, Level]] = [
            ("all", "minute", usage.minute),
            ("all", "concurrent", usage.concurrent),
            *((day.api, "day", day.level) for day in usage.days.values()),
        ]
        used = GaugeMetricFamily("tds_quota_used", "Calls that count against a limit of Zoho.", labels=["api", "kind"])
        left = GaugeMetricFamily("tds_quota_left", "Calls the most urgent class may make.", labels=["api", "kind"])
        for api, kind, level in levels:
            used.add_metric([api, kind], level.used)
            if level.left is not None:
                left.add_metric([api, kind], level.left)
        yield used
        yield left
