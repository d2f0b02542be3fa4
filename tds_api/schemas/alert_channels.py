"""Schemas of alert channels: made, changed, shown without their secrets, tested; and of the messages they got."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from tds_api.schemas.alerts import SEVERITY
from tds_api.schemas.common import ArgumentsSchema, PageArgumentsSchema, Whole, id_field, instant_field
from tds_api.schemas.common import perhaps_instant_field as perhaps
from tds_core.alerts.channel_tests import SentBy
from tds_core.alerts.channels.address import LONGEST_ADDRESS, ChannelKind
from tds_core.alerts.channels.address_fields import FIELDS
from tds_core.alerts.channels.store import (
    GRACE_SECONDS,
    LONGEST_REMINDER_SECONDS,
    LONGEST_WAIT_SECONDS,
)
from tds_models.alerts import AlertDeliveryState

_FIELDS = "; ".join(f"{kind.value}: {', '.join(each.name for each in found)}" for kind, found in FIELDS.items())
_ADDRESS = {"description": "with its secrets, for example mailtos://user:password@smtp.example.com?from=...&to=..."}


def _address(*, required: bool) -> fields.String:
    return fields.String(required=required, validate=validate.Length(1, LONGEST_ADDRESS), metadata=_ADDRESS)


class ChannelTermsSchema(ArgumentsSchema):
    """When a channel gets messages, and what they hold."""

    is_enabled = fields.Boolean()
    minimum_severity = fields.String(validate=SEVERITY)
    after_seconds = fields.Integer(
        validate=validate.Range(0, LONGEST_WAIT_SECONDS),
        metadata={"description": "told of what nobody acknowledged for so long: a step of escalation"},
    )
    reminder_seconds = fields.Integer(
        validate=validate.Range(0, LONGEST_REMINDER_SECONDS), metadata={"description": "0: no reminders"}
    )
    quiet_hours = fields.String(
        allow_none=True,
        validate=Whole(r"\d\d:\d\d-\d\d:\d\d"),
        metadata={"description": "22:00-07:00; what is critical is sent all the same; null: none"},
    )
    time_zone = fields.String(
        validate=[validate.Length(1, 60), validate.ContainsNoneOf("\0")], metadata={"description": "of quiet hours"}
    )
    with_detail = fields.Boolean(metadata={"description": "messages may hold texts of errors, not only ids and counts"})


class ChannelRequestSchema(ChannelTermsSchema):
    """A new channel, by its address or by the fields of its kind."""

    name = fields.String(required=True, validate=Whole(r"[a-z0-9][a-z0-9._-]{0,59}"))
    address = _address(required=False)
    kind = fields.Enum(ChannelKind, by_value=True, metadata={"description": "with `fields`, in place of `address`"})
    fields_ = fields.Dict(
        fields.String(), fields.String(validate=validate.Length(max=LONGEST_ADDRESS)), data_key="fields",
        metadata={"description": f"of the kind: {_FIELDS}"},
    )  # fmt: skip

    @validates_schema
    def check(self, arguments: dict[str, Any], **_: Any) -> None:
        """One of both. Raises ValidationError."""
        if ("address" in arguments) == ("kind" in arguments and "fields_" in arguments):
            raise ValidationError("Give either `address`, or `kind` with its `fields`.")


class ChannelChangeSchema(ChannelTermsSchema):
    """What changes about a channel; what is left out stays."""

    address = _address(required=False)


class ChannelRotationSchema(ArgumentsSchema):
    """How long the secret in use goes on signing."""

    grace_seconds = fields.Float(load_default=GRACE_SECONDS, validate=validate.Range(0, 2_592_000))


class ChannelSchema(Schema):
    """A channel, without its secrets."""

    id = id_field()
    name = fields.String()
    kind = fields.String(validate=validate.OneOf(list(ChannelKind)))
    masked = fields.String(metadata={"description": "its address without secrets"})
    is_enabled = fields.Boolean()
    minimum_severity = fields.String(validate=SEVERITY)
    after_seconds = fields.Integer()
    reminder_seconds = fields.Integer()
    quiet_hours = fields.String(allow_none=True)
    time_zone = fields.String()
    with_detail = fields.Boolean()
    failure_count = fields.Integer(metadata={"description": "failed messages in a row"})
    failing_since = perhaps()
    last_error = fields.String(allow_none=True)
    sent_at = perhaps("when it last took a message")
    created_by = fields.String()
    created_at = instant_field()


class ChannelMadeSchema(ChannelSchema):
    """A channel that was just made. `secret` signs the messages of a webhook."""

    secret = fields.String(allow_none=True, metadata={"description": "whsec_..., shown once; null for other kinds"})


class ChannelTestResultSchema(Schema):
    """What came of a test message."""

    is_sent = fields.Boolean()
    error = fields.String(allow_none=True)
    is_permanent = fields.Boolean(metadata={"description": "no use to try again until the channel is changed"})
    duration_seconds = fields.Float()
    sent_by = fields.String(
        validate=validate.OneOf(list(SentBy)), metadata={"description": "with whose settings it was sent"}
    )


class ChannelDeliveryArgumentsSchema(PageArgumentsSchema):
    """Which messages."""

    state = fields.String(validate=validate.OneOf(list(AlertDeliveryState)))
