"""The route of the quota of calls to Zoho: used and left by class, and the forecast."""

from typing import Any

from marshmallow import Schema, fields

from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import instant_field, perhaps_instant_field
from tds_core.mirror.status import detail_calls
from tds_core.sources.zoho.quota.forecast import quota_document
from tds_core.sources.zoho.quota.governor import open_governor
from tds_models.auth import Role
from tds_models.db import session_scope

_TRAFFIC = "live, operator, scheduled, backfill"


class LevelSchema(Schema):
    """How much of a limit is used."""

    used = fields.Integer()
    limit = fields.Integer(metadata={"description": "what TDS allows itself of Zoho's; 0 without a limit"})
    left = fields.Integer(allow_none=True)
    ceilings = fields.Dict(
        fields.String(), fields.Integer(), metadata={"description": f"up to where each class is let: {_TRAFFIC}"}
    )


class HourUseSchema(Schema):
    """The calls of one hour by class."""

    began_at = instant_field()
    by_class = fields.Dict(fields.String(), fields.Integer())


class QuotaDaySchema(LevelSchema):
    """One product's day: how much of it is used, and the forecast."""

    api = fields.String()
    by_class = fields.Dict(
        fields.String(), fields.Integer(), metadata={"description": "others: programs that share the organisation"}
    )
    told_limit = fields.Integer(allow_none=True, metadata={"description": "the limit Zoho reported, if any"})
    resets_at = instant_field()
    reset_told = fields.Boolean(
        metadata={"description": "whether Zoho reported the reset; otherwise it is midnight of its zone"}
    )
    spent_until = perhaps_instant_field()
    hours = fields.List(
        fields.Nested(HourUseSchema), metadata={"description": "those since the last reset in which calls were made"}
    )
    calls_per_hour = fields.Dict(fields.String(), fields.Float())
    runs_out_at = fields.Dict(
        fields.String(), instant_field(), metadata={"description": "classes that last until the reset are left out"}
    )
    used_at_reset = fields.Integer()


class BacklogSchema(Schema):
    """Calls still to make for what lists showed, and when they will have been made."""

    api = fields.String()
    call_count = fields.Integer()
    calls_per_day = fields.Integer(allow_none=True, metadata={"description": "null without a limit"})
    ends_at = perhaps_instant_field("null when other calls leave nothing for it")


class QuotaSchema(Schema):
    """The whole quota at one moment."""

    at = instant_field()
    minute = fields.Nested(LevelSchema)
    concurrent = fields.Nested(LevelSchema)
    blocked_until = perhaps_instant_field()
    lowered_until = perhaps_instant_field()
    waiting = fields.Dict(fields.String(), fields.Integer(), metadata={"description": "calls that wait, by class"})
    days = fields.List(fields.Nested(QuotaDaySchema))
    backlogs = fields.List(fields.Nested(BacklogSchema))


def quota_routes(context: Context) -> Blueprint:
    """The quota."""
    routes = Blueprint("quota", __name__, url_prefix="/api/tds/zoho", description="The quota of calls to Zoho")
    governor = open_governor(context.settings)

    @routes.get("/quota")
    @needs(Role.VIEWER)
    @routes.response(200, QuotaSchema)
    def quota() -> Any:
        """What is used and left in this minute and today, calls at once, when it runs out, when the backlog ends."""
        with session_scope(context.engine) as session:
            backlog = detail_calls(session)
        return quota_document(governor.forecast(backlog))

    return routes
