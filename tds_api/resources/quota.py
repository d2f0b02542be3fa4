"""The route that shows the quota of calls to Zoho, and what Prometheus is told of it.

The shapes of the quota: what is used and left, by class, and how it goes on.
"""

from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, fields
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.common import instant_field, perhaps_instant_field
from tds_core.mirror.status import detail_calls
from tds_core.sources.zoho.quota.forecast import quota_document
from tds_core.sources.zoho.quota.governor import Governor, open_governor
from tds_core.sources.zoho.quota.usage import LimitUsage, QuotaUnknownError
from tds_models.auth import Role
from tds_models.db import session_scope

_TRAFFIC = "live, operator, scheduled, backfill"


class Level(Schema):
    """How much of a limit is taken."""

    used = fields.Integer()
    limit = fields.Integer(metadata={"description": "what TDS allows itself of Zoho's; 0 without a limit"})
    left = fields.Integer(allow_none=True)
    ceilings = fields.Dict(
        fields.String(), fields.Integer(), metadata={"description": f"up to where each class is let: {_TRAFFIC}"}
    )


class QuotaDay(Level):
    """One product's day: how much of it is taken, and how it goes on."""

    api = fields.String()
    by_class = fields.Dict(
        fields.String(), fields.Integer(), metadata={"description": "others: programs that share the organisation"}
    )
    told_limit = fields.Integer(allow_none=True, metadata={"description": "the limit Zoho told, if it did"})
    resets_at = instant_field()
    reset_told = fields.Boolean(metadata={"description": "Zoho told the reset; otherwise it is the zone's midnight"})
    spent_until = perhaps_instant_field()
    calls_per_hour = fields.Dict(fields.String(), fields.Float())
    runs_out_at = fields.Dict(
        fields.String(), instant_field(), metadata={"description": "classes that last until the reset are left out"}
    )
    used_at_reset = fields.Integer()


class Backlog(Schema):
    """Calls still to make for what lists showed, and when they will have been made."""

    api = fields.String()
    call_count = fields.Integer()
    calls_per_day = fields.Integer(allow_none=True, metadata={"description": "null without a limit"})
    ends_at = perhaps_instant_field("null when other calls leave nothing for it")


class Quota(Schema):
    """The whole quota at one moment."""

    at = instant_field()
    minute = fields.Nested(Level)
    concurrent = fields.Nested(Level)
    blocked_until = perhaps_instant_field()
    lowered_until = perhaps_instant_field()
    waiting = fields.Dict(fields.String(), fields.Integer(), metadata={"description": "calls that wait, by class"})
    days = fields.List(fields.Nested(QuotaDay))
    backlogs = fields.List(fields.Nested(Backlog))


def quota_routes(edge: Context) -> Blueprint:
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
        return quota_document(governor.forecast(backlog))

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
        levels: list[tuple[str, str, LimitUsage]] = [
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
