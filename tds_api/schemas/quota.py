"""The shapes of the quota: what is used and left, by class, and how it goes on."""

from marshmallow import Schema, fields

from tds_api.schemas.common import instant_field, perhaps_instant_field

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
