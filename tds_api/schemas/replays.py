"""Schemas of event replays: which events, what a replay would take in, and how far a batch is."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import (
    entity_field,
    id_field,
    instant_field,
    name_field,
    perhaps_instant_field,
)
from tds_core.inbox.replay_batches import MOST_EVENTS
from tds_models.inbox import Verdict


class ReplaySelectionSchema(Schema):
    """Which events. At least one criterion: none never means all."""

    entity = entity_field()
    source_id = name_field()
    verdict = fields.String(validate=validate.OneOf(list(Verdict)))
    since = instant_field()
    until = instant_field()
    per_minute = fields.Integer(validate=validate.Range(1, 60_000))


class ReplayRequestSchema(ReplaySelectionSchema):
    """The events to replay, as a preview showed them."""

    event_count = fields.Integer(required=True, validate=validate.Range(1, MOST_EVENTS))
    taken_at = instant_field()
    taken_at.required = True


class EntityEventsSchema(Schema):
    """The selected events of one entity."""

    entity = fields.String(allow_none=True)
    event_count = fields.Integer()
    record_count = fields.Integer()
    to_read_count = fields.Integer(metadata={"description": "whose record has to be read from Zoho"})
    oldest_at = instant_field()
    newest_at = instant_field()


class ReplayPreviewSchema(Schema):
    """What a selection matches: its count and moment go with the request."""

    event_count = fields.Integer()
    taken_at = instant_field()
    by_entity = fields.List(fields.Nested(EntityEventsSchema))
    per_minute = fields.Integer()
    seconds = fields.Float(metadata={"description": "until the last is replayed"})


class ReplayBatchSchema(Schema):
    """A batch of events that are received again."""

    id = id_field()
    requested_by = fields.String()
    requested_at = instant_field()
    asked = fields.Dict()
    taken_at = instant_field()
    event_count = fields.Integer()
    per_minute = fields.Integer()
    cancelled_at = perhaps_instant_field()
    cancelled_by = fields.String(allow_none=True)
    ended_at = perhaps_instant_field()
    correlation_id = fields.String()
    state = fields.String(validate=validate.OneOf(["running", "completed", "cancelled"]))
    outcomes = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        metadata={"description": "events by outcome: waiting, replayed, refused, gone, owed, cancelled"},
    )
    seconds_left = fields.Float()
