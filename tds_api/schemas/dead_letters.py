"""Schemas of dead letters: lists, groups, decisions, retries with their batches, and imports."""

from typing import ClassVar

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
from tds_core.dead_letters.queries import STATES


class DeadLetterArgumentsSchema(PageArgumentsSchema):
    """Which dead letters; with `group_by` one row is one problem, the most frequent first, without a next page."""

    group_by = fields.String(validate=validate.OneOf(["fingerprint"]))
    entity = entity_field()
    error_class = name_field()
    fingerprint = fields.String(validate=Whole(r"[^\x00]{1,400}"))
    source_id = name_field()
    assigned_to = name_field()
    batch_id = fields.Integer(
        validate=validate.Range(1, 2**63 - 1), metadata={"description": "those that a batch retries or retried"}
    )
    state = fields.String(load_default="open", validate=validate.OneOf(STATES))


class DiagnosisSchema(Schema):
    """What a failure means, and what to do about it."""

    cause = fields.String(metadata={"description": "stable, for programs; unknown when TDS does not know it"})
    says = fields.String()
    fix = fields.String()
    retry_helps = fields.Boolean(metadata={"description": "whether trying again alone may help"})


class DeadLetterSchema(Schema):
    """Work given up until a person decides."""

    id = id_field()
    source = fields.String()
    entity = fields.String()
    source_id = id_field()
    state = fields.String(metadata={"description": "dead, being_retried or closed"})
    error_class = fields.String()
    error = fields.String()
    fingerprint = fields.String()
    diagnosis = fields.Nested(DiagnosisSchema)
    attempts = fields.Integer()
    priority = fields.Integer()
    dead_at = instant_field()
    last_dead_at = instant_field()
    revived_count = fields.Integer()
    automatic_count = fields.Integer(metadata={"description": "how often the timetable retried it"})
    assigned_to = fields.String(allow_none=True)
    edited_at = perhaps_instant_field()
    foreign_id = fields.String(allow_none=True)
    resolved_at = perhaps_instant_field()
    resolution = fields.String(allow_none=True)
    correlation_id = fields.String()


class DeadLetterOrGroupSchema(DeadLetterSchema):
    """A dead letter; with `group_by`, the open letters of one problem, which have no id."""

    entities = fields.List(fields.String())
    letter_count = fields.Integer()
    being_retried_count = fields.Integer()
    assigned_count = fields.Integer()
    first_seen_at = instant_field()
    last_seen_at = instant_field()


class RevivalShownSchema(Schema):
    """One attempt to bring a letter back."""

    id = id_field()
    batch_id = id_field(allow_none=True)
    requested_by = fields.String()
    requested_at = instant_field()
    died_of = fields.String()
    revived_at = perhaps_instant_field()
    ended_at = perhaps_instant_field()
    outcome = fields.String(allow_none=True)
    error = fields.String(allow_none=True)


class ActionSchema(Schema):
    """What a person did with a letter."""

    acted_at = instant_field()
    operator = fields.String()
    action = fields.String()
    detail = fields.Raw()


class WholeDeadLetterSchema(DeadLetterSchema):
    """A dead letter with its record and its history."""

    record = fields.Raw(allow_none=True)
    revivals = fields.List(fields.Nested(RevivalShownSchema))
    actions = fields.List(fields.Nested(ActionSchema))


class AssignmentSchema(ArgumentsSchema):
    """The person a dead letter is assigned to; null for none."""

    to = fields.String(required=True, allow_none=True, validate=name_field().validate)


class ResolutionSchema(ArgumentsSchema):
    """Why a letter is closed."""

    note = fields.String(required=True, validate=Whole(r"[^\x00]{1,2000}"))


class EditionSchema(ArgumentsSchema):
    """Another record for a letter: whole, or single members of it."""

    record = fields.Raw(metadata={"type": "object", "description": "the whole record"})
    changes = fields.Raw(metadata={"type": "object", "description": "members that replace those of the kept record"})
    retry = fields.Boolean(load_default=False, metadata={"description": "retry the letter with it at once"})


class ChosenSchema(ArgumentsSchema):
    """Which open letters are meant: those of which all of this is true; `everything` for all."""

    ids = fields.List(fields.Integer(validate=validate.Range(1, 2**63 - 1)), validate=validate.Length(1, 10_000))
    entity = entity_field()
    error_class = name_field()
    fingerprint = fields.String(validate=Whole(r"[^\x00]{1,400}"))
    older_than_seconds = fields.Float(validate=validate.Range(0, 1e9))
    everything = fields.Boolean()


class ThrottledSchema(ChosenSchema):
    """Which letters, and how many of them a minute; without it TDS_REVIVE_PER_MINUTE."""

    #: An empty selection is an error; it never means everything.
    DESCRIBED: ClassVar = {
        "anyOf": [
            *({"required": [name]} for name in ("ids", "entity", "error_class", "fingerprint", "older_than_seconds")),
            {"required": ["everything"], "properties": {"everything": {"enum": [True]}}},
        ]
    }

    per_minute = fields.Integer(validate=validate.Range(1, 60_000))


class PreviewArgumentsSchema(ThrottledSchema):
    """What to look at before letters are retried."""

    sample = fields.Integer(
        load_default=5, validate=validate.Range(0, 20), metadata={"description": "letters that are read now"}
    )


class RetryArgumentsSchema(ThrottledSchema):
    """What to retry."""

    letter_count = fields.Integer(
        validate=validate.Range(0), metadata={"description": "what the preview said; nothing is done if it is another"}
    )


class PreviewSchema(Schema):
    """What a retry would cost, take and change."""

    letter_count = fields.Integer()
    by_entity = fields.List(fields.Dict())
    oldest_at = perhaps_instant_field()
    newest_at = perhaps_instant_field()
    least_calls = fields.Dict(
        fields.String(), fields.Integer(), metadata={"description": "by API, when records are read in full batches"}
    )
    most_calls = fields.Dict(
        fields.String(), fields.Integer(), metadata={"description": "by API, when each is read alone"}
    )
    per_minute = fields.Integer()
    seconds = fields.Float(allow_none=True, metadata={"description": "null when the quota leaves it no calls"})
    sample = fields.List(fields.Dict(), metadata={"description": "what some of them would come to, and judged by what"})


class RevivalBatchShownSchema(Schema):
    """Many letters retried on one request."""

    id = id_field()
    state = fields.String(metadata={"description": "running, completed or cancelled"})
    requested_by = fields.String()
    requested_at = instant_field()
    asked = fields.Dict()
    letter_count = fields.Integer()
    per_minute = fields.Integer()
    outcomes = fields.Dict(fields.String(), fields.Integer(), metadata={"description": "letters by what they came to"})
    cancelled_at = perhaps_instant_field()
    cancelled_by = fields.String(allow_none=True)
    ended_at = perhaps_instant_field()
    correlation_id = fields.String()


class ImportedSchema(Schema):
    """What became of the lines of an import."""

    imported_count = fields.Integer()
    known_count = fields.Integer(metadata={"description": "taken in before"})
    errors = fields.List(fields.Dict(), metadata={"description": "broken lines by number"})
