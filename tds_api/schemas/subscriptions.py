"""Schemas of subscriptions to change events, and of their deliveries."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from tds_api.schemas.common import PageArgumentsSchema, Whole, entity_field, id_field, instant_field, name_field
from tds_models.subscriptions import DeliveryState, EventKind, SubscriptionState

_ALL = "none: all"


def _choices(*choices: str) -> fields.List:
    rule = validate.OneOf(choices) if choices else Whole(r"[a-z][a-z0-9_]{0,60}")
    return fields.List(
        fields.String(validate=rule),
        load_default=list,
        validate=validate.Length(max=50),
        metadata={"description": _ALL},
    )


class SubscriptionArgumentsSchema(PageArgumentsSchema):
    """Which subscriptions."""

    state = fields.String(validate=validate.OneOf(list(SubscriptionState)))


class SubscriptionRequestSchema(Schema):
    """A new subscription."""

    name = fields.String(required=True, validate=Whole(r"[a-z0-9][a-z0-9._-]{0,59}"))
    url = fields.String(required=True, validate=validate.Length(1, 2000))
    entities = _choices()
    kinds = _choices(*EventKind)
    fields_ = fields.List(
        fields.String(validate=Whole(r"[a-z][a-z0-9_]{0,60}")), data_key="fields", attribute="fields",
        load_default=list, validate=validate.Length(max=50), metadata={"description": _ALL},
    )  # fmt: skip


class SubscriptionShownSchema(Schema):
    """A subscription, without its secret."""

    id = id_field()
    name = fields.String()
    url = fields.String()
    entities = fields.List(fields.String(), metadata={"description": _ALL})
    kinds = fields.List(fields.String(), metadata={"description": _ALL})
    fields_ = fields.List(fields.String(), data_key="fields", attribute="fields", metadata={"description": _ALL})
    state = fields.String(validate=validate.OneOf(list(SubscriptionState)))
    state_reason = fields.String(allow_none=True)
    state_at = instant_field()
    position = id_field()
    owed_count = fields.Integer(metadata={"description": "records with events to be sent, counted to 10,000"})
    behind_count = fields.Integer(metadata={"description": "changes not fanned out to it yet"})
    replay_count = fields.Integer()
    failure_count = fields.Integer(metadata={"description": "in a row"})
    failing_since = fields.AwareDateTime(format="iso", allow_none=True)
    rests_until = fields.AwareDateTime(format="iso", allow_none=True)
    delivered_at = fields.AwareDateTime(format="iso", allow_none=True)
    previous_until = fields.AwareDateTime(
        format="iso", allow_none=True, metadata={"description": "until then the previous secret signs, too"}
    )
    created_by = fields.String()
    created_at = instant_field()


class SubscriptionMadeSchema(SubscriptionShownSchema):
    """A subscription with a secret that was just made."""

    secret = fields.String(metadata={"description": "whsec_..., shown once"})


class RotationSchema(Schema):
    """How long the secret in use goes on signing."""

    grace_seconds = fields.Float(load_default=86_400.0, validate=validate.Range(0, 2_592_000))


class ReplaySchema(Schema):
    """What to replay: events since a moment, of a record from a version on, or those given up."""

    since = instant_field()
    entity = entity_field()
    source_id = name_field()
    version = fields.Integer(validate=validate.Range(1, 2**31 - 1))
    given_up = fields.Boolean(load_default=False)

    @validates_schema
    def check(self, arguments: dict[str, Any], **_: Any) -> None:
        """Exactly one of the three. Raises ValidationError."""
        of_record = [name in arguments for name in ("entity", "source_id", "version")]
        if any(of_record) != all(of_record) or ("since" in arguments) + all(of_record) + arguments["given_up"] != 1:
            raise ValidationError("Give `since`, or `entity`, `source_id` and `version`, or `given_up`.")


class TestEventResultSchema(Schema):
    """The receiver's response to a test event."""

    status = fields.Integer(allow_none=True, metadata={"description": "null: no answer came"})
    duration_seconds = fields.Float()
    error = fields.String(allow_none=True)


class DeliveryArgumentsSchema(PageArgumentsSchema):
    """Which deliveries."""

    state = fields.String(validate=validate.OneOf(list(DeliveryState)))


class DeliveryShownSchema(Schema):
    """An event that was sent, and what came of it."""

    id = id_field()
    message_id = fields.String(metadata={"description": "its webhook-id"})
    source = fields.String()
    entity = fields.String()
    source_id = fields.String()
    version = fields.Integer()
    state = fields.String(validate=validate.OneOf(list(DeliveryState)))
    attempts = fields.Integer()
    status = fields.Integer(allow_none=True)
    duration_seconds = fields.Float()
    error = fields.String(allow_none=True)
    tries = fields.List(fields.Dict(), metadata={"description": "of each attempt: at, status, seconds, error"})
    first_attempted_at = instant_field()
    attempted_at = instant_field()
