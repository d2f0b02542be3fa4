"""The shapes of a record's story: its verdict and its steps."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import PageArguments, id_field, instant_field, name_field
from tds_core.reading.story.kinds import KINDS


class StoryArguments(PageArguments):
    """Which part of a story."""

    field = name_field()
    field.metadata["description"] = "what set this field, and what could have and did not"
    since = instant_field()
    until = instant_field()


class Step(Schema):
    """One step in a record's story."""

    at = instant_field()
    kind = fields.String(validate=validate.OneOf([kind.name for kind in KINDS]))
    correlation_id = fields.String()
    detail = fields.Raw()


class Verdict(Schema):
    """How a record stands, in words."""

    state = fields.String(
        validate=validate.OneOf(
            ["equal", "listed", "unconfirmed", "owed", "dead_letter", "refused", "deleted", "unknown"]
        )
    )
    says = fields.String()
    last_change = fields.String(allow_none=True)
    field = fields.String(allow_none=True, metadata={"description": "why the field that was asked about is as it is"})
    next = fields.String(allow_none=True, metadata={"description": "a command to go on with"})


class Explanation(Schema):
    """The story of a record, and what it is still owed."""

    entity = fields.String()
    source_id = id_field()
    verdict = fields.Nested(Verdict)
    steps = fields.List(fields.Nested(Step), metadata={"description": "the newest ones, in the order of time"})
    next_cursor = fields.String(allow_none=True, metadata={"description": "leads to the steps before these"})
    owed = fields.Raw(allow_none=True)
