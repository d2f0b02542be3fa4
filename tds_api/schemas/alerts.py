"""Schemas of alerts: their rows and stories, what operators do with them, and what Alertmanager sends."""

from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate, validates_schema

from tds_api.schemas.common import (
    ArgumentsSchema,
    PageArgumentsSchema,
    id_field,
    instant_field,
    name_field,
    perhaps_instant_field,
)
from tds_core.alerts.alertmanager import MOST_ALERTS
from tds_core.alerts.operator_actions import DEFAULT_ACKNOWLEDGEMENT, LONGEST_ACKNOWLEDGEMENT, LONGEST_NOTE
from tds_core.alerts.silences import LONGEST
from tds_models.alerts import AlertDeliveryState, AlertMessageKind, AlertSeverity, AlertState

SEVERITY = validate.OneOf(list(AlertSeverity))
_STATE = validate.OneOf(list(AlertState))


class AlertArgumentsSchema(PageArgumentsSchema):
    """Which alerts."""

    rule = name_field()
    severity = fields.String(validate=SEVERITY)
    state = fields.String(validate=_STATE)
    is_active = fields.Boolean(
        data_key="active", metadata={"description": "true: only those whose condition is met, for however long"}
    )


class HistoryArgumentsSchema(PageArgumentsSchema):
    """Of which rule."""

    rule = name_field()


class AlertSchema(Schema):
    """An alert: one for each rule and subject, in the state it has now."""

    id = id_field()
    rule = fields.String()
    subject = fields.String(metadata={"description": "an entity, a breaker, a worker; empty for the whole"})
    state = fields.String(validate=_STATE)
    version = fields.Integer(metadata={"description": "rises with every change"})
    severity = fields.String(validate=SEVERITY)
    episode = fields.Integer(metadata={"description": "how often it has fired"})
    value = fields.Float(allow_none=True, metadata={"description": "null where others measure it"})
    summary = fields.String()
    detail = fields.Raw(metadata={"description": "ids, names and counts that help to act"})
    since_at = perhaps_instant_field("since when its condition is met")
    seen_at = perhaps_instant_field("when its condition was last met")
    fired_at = perhaps_instant_field("when this episode began")
    resolved_at = perhaps_instant_field()
    changed_at = instant_field()
    recent_firings = fields.List(instant_field(), metadata={"description": "of the last hour"})
    acknowledged_by = fields.String(allow_none=True)
    acknowledged_at = perhaps_instant_field()
    acknowledged_until = perhaps_instant_field("then it sends messages again")
    note = fields.String(allow_none=True)
    muted_by = fields.String(allow_none=True, metadata={"description": "the rule of the alert that causes this one"})
    silenced_by = fields.List(id_field(), metadata={"description": "the silences that mute it now"})


class TransitionSchema(Schema):
    """A change of an alert's state; it is never edited."""

    id = id_field()
    alert_id = id_field()
    rule = fields.String()
    subject = fields.String()
    episode = fields.Integer()
    from_state = fields.String(validate=_STATE)
    to_state = fields.String(validate=_STATE)
    severity = fields.String(validate=SEVERITY)
    value = fields.Float(allow_none=True)
    changed_by = fields.String(metadata={"description": "tds, or who did it"})
    reason = fields.String(allow_none=True)
    at = instant_field()


class AlertDeliverySchema(Schema):
    """A message about one alert to one channel."""

    id = id_field()
    alert_id = fields.String(allow_none=True, metadata={"description": "null: a test of the channel"})
    rule = fields.String()
    subject = fields.String()
    episode = fields.Integer()
    channel_id = id_field()
    channel = fields.String()
    kind = fields.String(validate=validate.OneOf(list(AlertMessageKind)))
    number = fields.Integer(metadata={"description": "0, and 1, 2, ... of reminders"})
    state = fields.String(validate=validate.OneOf(list(AlertDeliveryState)))
    reason = fields.String(allow_none=True, metadata={"description": "why it is suppressed, void, or sent now"})
    message_id = fields.String(allow_none=True, metadata={"description": "the same at every attempt"})
    attempts = fields.Integer()
    tries = fields.List(fields.Dict(), metadata={"description": "of each attempt: error, seconds"})
    next_attempt_at = instant_field()
    created_at = instant_field()
    sent_at = perhaps_instant_field()


class RuleAdviceSchema(Schema):
    """What a rule says about its alerts."""

    title = fields.String()
    unit = fields.String()
    cause = fields.String(metadata={"description": "what usually is behind it"})
    automatic = fields.String(metadata={"description": "what TDS does about it by itself"})
    command = fields.String(metadata={"description": "what a person runs"})


class AlertStorySchema(Schema):
    """An alert with its newest transitions and messages."""

    alert = fields.Nested(AlertSchema)
    advice = fields.Nested(RuleAdviceSchema, allow_none=True)
    transitions = fields.List(fields.Nested(TransitionSchema))
    deliveries = fields.List(fields.Nested(AlertDeliverySchema))
    mutes = fields.List(fields.String(), metadata={"description": "the active alerts it is the cause of"})


class AcknowledgementSchema(ArgumentsSchema):
    """How long somebody takes care of an alert."""

    lasts_seconds = fields.Float(
        load_default=DEFAULT_ACKNOWLEDGEMENT.total_seconds(),
        validate=validate.Range(60, LONGEST_ACKNOWLEDGEMENT.total_seconds()),
        metadata={"description": "after it the alert sends messages again"},
    )
    note = fields.String(validate=[validate.Length(1, LONGEST_NOTE), validate.ContainsNoneOf("\0")])


class AlertResolutionSchema(ArgumentsSchema):
    """Why an alert is resolved by hand."""

    note = fields.String(validate=[validate.Length(1, LONGEST_NOTE), validate.ContainsNoneOf("\0")])


class AlertSilenceRequestSchema(ArgumentsSchema):
    """For how long, or until when, exactly this alert is silent, and why."""

    lasts_seconds = fields.Float(validate=validate.Range(1, LONGEST.total_seconds()))
    ends_at = instant_field()
    reason = fields.String(required=True, validate=[validate.Length(1, 500), validate.ContainsNoneOf("\0")])
    ends_with_alert = fields.Boolean(
        load_default=False, metadata={"description": "it ends as soon as the alert is no longer active"}
    )

    @validates_schema
    def check(self, arguments: dict[str, Any], **_: Any) -> None:
        """One end. Raises ValidationError."""
        if ("ends_at" in arguments) == ("lasts_seconds" in arguments):
            raise ValidationError("Give either `ends_at` or `lasts_seconds`.")


class AlertmanagerSchema(Schema):
    """A notification of Alertmanager (webhook format, version 4); what else it holds is not read."""

    class Meta:
        unknown = INCLUDE

    version = fields.String()
    alerts = fields.List(
        fields.Dict(),
        required=True,
        validate=validate.Length(max=MOST_ALERTS),
        metadata={"description": "each with status, labels, annotations, startsAt, endsAt, generatorURL"},
    )


class IntakeSchema(Schema):
    """What became of a notification's alerts."""

    received_count = fields.Integer()
    fired_count = fields.Integer(metadata={"description": "alerts that began to fire"})
    resolved_count = fields.Integer()
    repeated_count = fields.Integer(metadata={"description": "known before, firing or over"})
    noted_count = fields.Integer(metadata={"description": "TDS measures them itself, or they are not for people"})
    unreadable_count = fields.Integer(metadata={"description": "without an alertname"})
    truncated_count = fields.Integer(metadata={"description": "Alertmanager left them out (max_alerts)"})
