"""Schemas of silences and maintenance windows."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from tds_api.schemas.alerts import SEVERITY
from tds_api.schemas.common import (
    ArgumentsSchema,
    PageArgumentsSchema,
    Whole,
    id_field,
    instant_field,
    name_field,
    perhaps_instant_field,
)
from tds_core.alerts.silences import LONGEST, LONGEST_WINDOW_SECONDS, SilenceState

MOST_PATTERNS = 50


def _patterns(every: str) -> fields.List:
    """A list of names with `*`; `every`: what an empty list stands for."""
    return fields.List(
        fields.String(validate=Whole(r"[^\x00]{0,300}")),
        load_default=list,
        validate=validate.Length(max=MOST_PATTERNS),
        metadata={"description": f"patterns with * and ?; none: {every}"},
    )


def _lasts() -> fields.Float:
    return fields.Float(validate=validate.Range(1, LONGEST.total_seconds()))


class SilenceArgumentsSchema(PageArgumentsSchema):
    """Which silences."""

    is_open = fields.Boolean(data_key="open", metadata={"description": "true: only those that have not ended"})


class SilenceRequestSchema(ArgumentsSchema):
    """A new silence: for a time, or with `cron` a window that recurs."""

    rules = _patterns("every rule")
    subjects = _patterns("every subject")
    severities = fields.List(
        fields.String(validate=SEVERITY), load_default=list, metadata={"description": "none: every severity"}
    )
    reason = fields.String(required=True, validate=[validate.Length(1, 500), validate.ContainsNoneOf("\0")])
    starts_at = instant_field()
    ends_at = instant_field()
    lasts_seconds = _lasts()
    ends_with_alerts = fields.Boolean(
        load_default=False, metadata={"description": "it ends as soon as no alert that matches is active"}
    )
    cron = name_field()
    duration_seconds = fields.Integer(
        validate=validate.Range(60, LONGEST_WINDOW_SECONDS), metadata={"description": "of each window"}
    )

    @validates_schema
    def check(self, arguments: dict[str, Any], **_: Any) -> None:
        """One end, and both parts of a window. Raises ValidationError."""
        if not (arguments["rules"] or arguments["subjects"] or arguments["severities"]):
            raise ValidationError('Say which alerts: `rules`, `subjects` or `severities`; all of them: "rules": ["*"].')
        if ("ends_at" in arguments) + ("lasts_seconds" in arguments) + ("cron" in arguments) == 0:
            raise ValidationError("Give `ends_at` or `lasts_seconds`; a window (`cron`) goes on for a year.")
        if "ends_at" in arguments and "lasts_seconds" in arguments:
            raise ValidationError("Give either `ends_at` or `lasts_seconds`.")
        if ("cron" in arguments) != ("duration_seconds" in arguments):
            raise ValidationError("A window that recurs has both `cron` and `duration_seconds`.")


class ExtensionSchema(ArgumentsSchema):
    """When a silence ends instead: at a moment, or so long from now."""

    ends_at = instant_field()
    lasts_seconds = _lasts()

    @validates_schema
    def check(self, arguments: dict[str, Any], **_: Any) -> None:
        """One of them. Raises ValidationError."""
        if ("ends_at" in arguments) == ("lasts_seconds" in arguments):
            raise ValidationError("Give either `ends_at` or `lasts_seconds`.")


class SilenceSchema(Schema):
    """A silence; with `cron` a window that recurs."""

    id = id_field()
    state = fields.String(validate=validate.OneOf(list(SilenceState)))
    rules = fields.List(fields.String())
    subjects = fields.List(fields.String())
    severities = fields.List(fields.String())
    reason = fields.String()
    starts_at = instant_field()
    ends_at = instant_field()
    ends_with_alerts = fields.Boolean()
    cron = fields.String(allow_none=True)
    duration_seconds = fields.Integer(allow_none=True)
    created_by = fields.String()
    created_at = instant_field()
    ended_at = perhaps_instant_field("ended before its time")
    ended_by = fields.String(allow_none=True)


class SilencePreviewSchema(Schema):
    """What a silence would mute now."""

    matching_count = fields.Integer()
    matching = fields.List(fields.String(), metadata={"description": "id, rule and subject of the first 50"})
    warning = fields.String(allow_none=True, metadata={"description": "why it may not do what was meant"})


class SilenceMadeSchema(Schema):
    """A silence that was just made, and what it mutes now."""

    silence = fields.Nested(SilenceSchema)
    mutes = fields.Nested(SilencePreviewSchema)
