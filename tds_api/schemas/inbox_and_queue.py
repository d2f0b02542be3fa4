"""Schemas of webhook events, refused deliveries, work items and queue pauses."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import (
    ArgumentsSchema,
    PageArgumentsSchema,
    Whole,
    entity_field,
    id_field,
    instant_field,
    name_field,
    perhaps_instant_field,
)
from tds_api.schemas.webhook_coverage import CoverageSummarySchema
from tds_models.inbox import Verdict


class EventArgumentsSchema(PageArgumentsSchema):
    """Which events."""

    entity = entity_field()
    source_id = name_field()
    verdict = fields.String(validate=validate.OneOf(["open", *Verdict]))
    since = instant_field()
    until = instant_field()


class EventSchema(Schema):
    """A webhook that was accepted, and where it ended."""

    id = id_field()
    source = fields.String()
    entity = fields.String(allow_none=True)
    event = fields.String(allow_none=True)
    source_id = id_field(allow_none=True)
    source_modified_at = perhaps_instant_field()
    complete = fields.Boolean(metadata={"description": "its body may be applied without asking the source"})
    correlation_id = fields.String()
    received_at = instant_field()
    verdict = fields.String(allow_none=True, metadata={"description": "null while the record is owed a sync"})
    verdict_at = perhaps_instant_field()
    verdict_reason = fields.String(allow_none=True)
    duplicate_count = fields.Integer(metadata={"description": "how often it came again within the window"})


class ReplayedSchema(Schema):
    """An event that was replayed."""

    event_id = fields.String(metadata={"description": "the new event, which gets its own verdict"})
    replay_of = id_field()
    entity = fields.String()


class RejectedArgumentsSchema(PageArgumentsSchema):
    """Which refused deliveries."""

    reason = name_field()
    entity = name_field()
    source_id = name_field()
    since = instant_field()
    until = instant_field()


class RejectedSchema(Schema):
    """A delivery that was refused."""

    id = id_field()
    received_at = instant_field()
    reason = fields.String()
    detail = fields.String()
    status = fields.Integer()
    path = fields.String()
    entity = fields.String(allow_none=True, metadata={"description": "what it claims to be about, unverified"})
    source_id = fields.String(allow_none=True)
    headers = fields.Raw(metadata={"description": "without secrets and signatures"})
    remote_address = fields.String(allow_none=True)
    body_start = fields.String()
    body_size = fields.Integer()
    correlation_id = fields.String()


class UnstoredWebhooksSchema(Schema):
    """Webhooks that met a 503 for one reason."""

    reason = fields.String()
    count = fields.Integer()
    first_at = instant_field()
    last_at = instant_field()


class ReceptionSchema(Schema):
    """Webhooks received in the last hours."""

    hours = fields.Integer()
    last_received_at = perhaps_instant_field()
    received_count = fields.Integer()
    duplicate_count = fields.Integer()
    by_entity = fields.List(fields.Dict())
    by_verdict = fields.Dict(keys=fields.String(), values=fields.Integer())
    rejected = fields.List(fields.Dict())
    unstored = fields.List(
        fields.Nested(UnstoredWebhooksSchema), metadata={"description": "answered 503, so that the sender tries again"}
    )
    coverage = fields.Nested(CoverageSummarySchema)


class QueueArgumentsSchema(PageArgumentsSchema):
    """Which work items."""

    entity = entity_field()
    source_id = name_field()
    state = fields.String(validate=validate.OneOf(["due", "waiting", "leased"]))


class WorkItemSchema(Schema):
    """A record with a pending sync."""

    id = id_field()
    source = fields.String()
    entity = fields.String()
    source_id = id_field()
    priority = fields.Integer()
    state = fields.String()
    attempts = fields.Integer()
    max_attempts = fields.Integer(metadata={"description": "after so many it becomes a dead letter"})
    snoozes = fields.Integer()
    crashes = fields.Integer()
    next_attempt_at = instant_field()
    leased_by = fields.String(allow_none=True)
    leased_until = perhaps_instant_field()
    age_seconds = fields.Float()
    last_error = fields.String(allow_none=True)
    correlation_id = fields.String()


class PauseRequestSchema(Schema):
    """Whose work to pause or resume."""

    entity = fields.String(
        load_default=None,
        allow_none=True,
        validate=entity_field().validate,
        metadata={"description": "all where it is null"},
    )


class PauseReasonSchema(PauseRequestSchema):
    """Whose work to pause, and why."""

    reason = fields.String(load_default=None, allow_none=True, validate=Whole(r"[^\x00]{1,500}"))


class QueuePauseShownSchema(Schema):
    """An entity whose work is paused."""

    entity = fields.String()
    paused_at = instant_field()
    paused_by = fields.String()
    reason = fields.String(allow_none=True)


class QueueStatsSchema(Schema):
    """The queue of one entity."""

    entity = fields.String()
    due_count = fields.Integer()
    waiting_count = fields.Integer()
    leased_count = fields.Integer()
    oldest_due_seconds = fields.Float()


class QueueHistoryArgumentsSchema(ArgumentsSchema):
    """How far back."""

    hours = fields.Integer(load_default=24, validate=validate.Range(1, 720))


class QueueSampleSchema(Schema):
    """A figure that was stored when it changed; it holds until the next."""

    at = instant_field()
    value = fields.Float(allow_none=True, metadata={"description": "null: there was nothing to see"})


class QueueHistorySchema(Schema):
    """The queue over time, as it was measured for alerts."""

    since = instant_field()
    depth = fields.List(fields.Nested(QueueSampleSchema), metadata={"description": "items that wait"})
    lag_seconds = fields.List(fields.Nested(QueueSampleSchema), metadata={"description": "age of the oldest due item"})
