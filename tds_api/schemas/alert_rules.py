"""Schemas of alert rules: their words, their terms with the history of them, and dry runs."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.alerts import SEVERITY
from tds_api.schemas.common import ArgumentsSchema, instant_field, perhaps_instant_field
from tds_core.alerts.metric_samples import LONGEST_DAYS
from tds_core.alerts.rule_terms import LONGEST_SECONDS

_LARGEST = 1e15


def _threshold() -> fields.Float:
    return fields.Float(allow_nan=False, validate=validate.Range(-_LARGEST, _LARGEST, min_inclusive=False,
                                                                 max_inclusive=False))  # fmt: skip


def _seconds(meaning: str) -> fields.Integer:
    return fields.Integer(validate=validate.Range(0, LONGEST_SECONDS), metadata={"description": meaning})


class TermsChangeSchema(ArgumentsSchema):
    """What changes about a rule's terms; what is left out stays."""

    is_enabled = fields.Boolean()
    severity = fields.String(validate=SEVERITY)
    threshold = _threshold()
    for_seconds = _seconds("so long the condition is met before it fires")
    keep_seconds = _seconds("so long it is not met before it is resolved")
    reason = fields.String(validate=[validate.Length(1, 500), validate.ContainsNoneOf("\0")])
    version = fields.Integer(
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "the version that was looked at: 409 when another came meanwhile"},
    )


class DryRunArgumentsSchema(ArgumentsSchema):
    """With which terms, over how many days; terms that are left out are those in force."""

    days = fields.Integer(load_default=7, validate=validate.Range(1, LONGEST_DAYS))
    threshold = _threshold()
    for_seconds = _seconds("so long the condition is met before it fires")
    keep_seconds = _seconds("so long it is not met before it is resolved")


class DeclaredTermsSchema(Schema):
    """The terms a rule is declared with."""

    severity = fields.String(validate=SEVERITY)
    threshold = fields.Float()
    for_seconds = fields.Integer()
    keep_seconds = fields.Integer()


class TermsSchema(DeclaredTermsSchema):
    """One version of a rule's terms; the newest is in force."""

    name = fields.String()
    version = fields.Integer()
    is_enabled = fields.Boolean()
    changed_by = fields.String(metadata={"description": "tds: declared terms"})
    changed_at = instant_field()
    reason = fields.String(allow_none=True)


class AlertRuleSchema(Schema):
    """A rule as it is declared, and its terms in force."""

    name = fields.String()
    title = fields.String()
    unit = fields.String(metadata={"description": "of values and threshold"})
    is_below = fields.Boolean(metadata={"description": "it fires below its threshold, not above"})
    is_measured = fields.Boolean(metadata={"description": "false: only Prometheus measures it"})
    cause = fields.String(metadata={"description": "what usually is behind it"})
    automatic = fields.String(metadata={"description": "what TDS does about it by itself"})
    command = fields.String(metadata={"description": "what a person runs"})
    muted_by = fields.List(fields.String(), metadata={"description": "rules whose alerts cause this one's"})
    declared = fields.Nested(DeclaredTermsSchema)
    terms = fields.Nested(TermsSchema)
    active_count = fields.Integer()


class AlertRuleStorySchema(AlertRuleSchema):
    """A rule with every version of its terms."""

    versions = fields.List(fields.Nested(TermsSchema), metadata={"description": "the newest first"})


class FiringSchema(Schema):
    """A time in which an alert would have fired."""

    subject = fields.String()
    began_at = instant_field()
    ended_at = perhaps_instant_field("null while it still would")
    seconds = fields.Float()


class DryRunSchema(Schema):
    """What a rule would have done."""

    rule = fields.String()
    days = fields.Integer()
    measured_since = perhaps_instant_field("how far back there are values")
    firing_count = fields.Integer()
    firing_seconds = fields.Float()
    firings = fields.List(fields.Nested(FiringSchema), metadata={"description": "the last 100"})
    says = fields.String()
