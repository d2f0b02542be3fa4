"""Schemas of validation: the report as it is asked for, and reports made in the background."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import (
    ArgumentsSchema,
    Instant,
    PageArgumentsSchema,
    id_field,
    instant_field,
    perhaps_instant_field,
)
from tds_core.validation.report import MOST_NAMED, SUBJECTS
from tds_core.validation.rules import Rule
from tds_core.validation.stored_reports import STATES
from tds_models.findings import Severity

_SEVERITY = validate.OneOf([Severity.ERROR, Severity.WARNING])


class ValidationArgumentsSchema(ArgumentsSchema):
    """How many issues are wanted."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, MOST_NAMED))


class StatisticsSchema(Schema):
    """The records and those without an error."""

    total_records = fields.Integer(
        metadata={"description": "living records, and those that were refused or are missing"}
    )
    valid_records = fields.Integer()
    invalid_records = fields.Integer(metadata={"description": "records with at least one error; warnings do not count"})
    validation_rate = fields.Float(metadata={"description": "the share of valid records, from 0 to 100"})


class IssueSchema(Schema):
    """One violation of a rule."""

    severity = fields.String(validate=_SEVERITY)
    entity_id = id_field()
    field = fields.String(metadata={"description": "`entity.field` in a report about all entities"})
    issue = fields.String()
    current_value = fields.String(allow_none=True, metadata={"description": "as text; numbers are exact"})
    recommendation = fields.String(metadata={"description": "the next step, often a command"})


class ValidationReportSchema(Schema):
    """What validation found, the worst issues first."""

    timestamp = Instant(attribute="made_at", format="iso")
    entity_type = fields.String(validate=validate.OneOf(SUBJECTS))
    statistics = fields.Nested(StatisticsSchema)
    issues = fields.List(fields.Nested(IssueSchema))


class IssueKindSchema(Schema):
    """How often a rule is broken in one field."""

    rule = fields.String(validate=validate.OneOf(list(Rule)))
    severity = fields.String(validate=_SEVERITY)
    field = fields.String()
    count = fields.Integer()
    recommendation = fields.String(metadata={"description": "the next step for the first of them"})


class WholeReportSchema(ValidationReportSchema):
    """A report with the numbers of all issues by kind."""

    kinds = fields.List(fields.Nested(IssueKindSchema))


class StoredReportSchema(Schema):
    """A report that is made in the background, and how far it is."""

    id = id_field()
    subject = fields.String(validate=validate.OneOf(SUBJECTS))
    state = fields.String(validate=validate.OneOf(STATES))
    requested_by = fields.String()
    requested_at = instant_field()
    started_at = perhaps_instant_field()
    ended_at = perhaps_instant_field()
    check_count = fields.Integer()
    checked_count = fields.Integer(metadata={"description": "how many of its checks are done"})
    current_check = fields.String(allow_none=True, metadata={"description": "the check that is next, or under way"})
    error = fields.String(allow_none=True, metadata={"description": "why it failed"})


class FinishedReportSchema(StoredReportSchema):
    """The same with what it found, once it is completed."""

    report = fields.Nested(WholeReportSchema, allow_none=True)


class StoredReportArgumentsSchema(PageArgumentsSchema):
    """Which reports."""

    subject = fields.String(validate=validate.OneOf(SUBJECTS))
