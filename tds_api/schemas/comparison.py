"""Schemas of comparisons: requests, progress, reports, differences, statements, repairs and recommendations."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import (
    ArgumentsSchema,
    PageArgumentsSchema,
    Whole,
    entity_field,
    exact_field,
    id_field,
    instant_field,
    perhaps_instant_field,
)
from tds_api.schemas.runs import MOST_IDS
from tds_core.comparison.repair import MOST_NAMED
from tds_models.comparison import Agreement, ComparisonState, DifferenceKind, DifferenceState

#: So many records of each entity may be read in detail by one comparison.
MOST_SAMPLES = 100_000


class ComparisonRequestSchema(ArgumentsSchema):
    """What to compare, and how."""

    entities = fields.List(
        entity_field(), load_default=list, metadata={"description": "without any, all entities are compared"}
    )
    sample = fields.Integer(
        load_default=0,
        validate=validate.Range(0, MOST_SAMPLES),
        metadata={"description": "so many records of each entity, chosen at random, are read in detail"},
    )
    follow = fields.Boolean(
        load_default=False,
        metadata={"description": "follow full passes and comparisons of the last TDS_COMPARISON_FOLLOW_SECONDS"},
    )


class OfEntitySchema(ArgumentsSchema):
    """Which entity."""

    entity = entity_field()


class ReportSchema(Schema):
    """The part of a comparison about one entity: its report, or while it runs how far it is."""

    entity = fields.String()
    state = fields.String(validate=validate.OneOf(list(ComparisonState)))
    agreement = fields.String(allow_none=True, validate=validate.OneOf(list(Agreement)))
    reason = fields.String(allow_none=True, metadata={"description": "why it is unproven"})
    here_count = fields.Integer(allow_none=True)
    there_count = fields.Integer(allow_none=True)
    equal_count = fields.Integer()
    different_count = fields.Integer()
    missing_here_count = fields.Integer()
    missing_there_count = fields.Integer()
    suspect_count = fields.Integer(metadata={"description": "records that may differ and are not decided"})
    match_percent = exact_field(allow_none=True)
    score = exact_field(allow_none=True)
    grades = fields.Raw(metadata={"description": "fields by how they are proven: by_list, by_detail, inferred; sample"})
    root_here = fields.String(allow_none=True)
    root_there = fields.String(allow_none=True)
    detail_count = fields.Integer(metadata={"description": "records read in detail"})
    api_call_count = fields.Integer(allow_none=True)
    run_id = id_field()
    follows_run_id = id_field(allow_none=True)
    read_count = fields.Integer(metadata={"description": "records compared so far"})
    expected_count = fields.Integer(allow_none=True)
    waits_until = perhaps_instant_field()
    waits_for = fields.String(allow_none=True)
    is_put_off = fields.Boolean(metadata={"description": "a quota, an outage or a refusal stands in the way"})
    began_at = perhaps_instant_field()
    ended_at = perhaps_instant_field()


class ComparisonRowSchema(Schema):
    """A comparison without its parts."""

    id = id_field()
    source = fields.String()
    state = fields.String(validate=validate.OneOf(list(ComparisonState)))
    agreement = fields.String(allow_none=True, validate=validate.OneOf(list(Agreement)))
    score = exact_field(allow_none=True)
    requested_by = fields.String()
    requested_at = instant_field()
    ended_at = perhaps_instant_field()
    sample_size = fields.Integer()
    seed = id_field()


class ComparisonSchema(ComparisonRowSchema):
    """A comparison with the part of each entity."""

    difference_count = fields.Integer()
    api_call_count = fields.Integer()
    statement = id_field(allow_none=True)
    parts = fields.List(fields.Nested(ReportSchema))


class DifferenceArgumentsSchema(PageArgumentsSchema):
    """Which differences."""

    entity = entity_field()
    state = fields.String(validate=validate.OneOf(list(DifferenceState)))


class FieldDifferenceSchema(Schema):
    """One field, or lines, with what each side has."""

    field = fields.String()
    here = fields.Raw(allow_none=True)
    there = fields.Raw(allow_none=True)


class RecordDifferenceSchema(Schema):
    """A record that differs, or may."""

    id = id_field()
    comparison_id = id_field()
    entity = fields.String()
    source_id = id_field()
    kind = fields.String(validate=validate.OneOf(list(DifferenceKind)))
    state = fields.String(validate=validate.OneOf(list(DifferenceState)))
    fields_ = fields.List(fields.Nested(FieldDifferenceSchema), data_key="fields", attribute="fields")
    cause = fields.String(allow_none=True)
    explanation = fields.String(allow_none=True, metadata={"description": "the cause in words"})
    since = perhaps_instant_field("when the two sides parted, as far as is known")
    suspected_for = fields.String(allow_none=True)
    found_at = instant_field()
    decided_at = perhaps_instant_field()


class StatementSchema(Schema):
    """A signed statement of agreement, as `tds verify statement` reads it from a file, and whether it verifies."""

    number = fields.Integer()
    body = fields.String(metadata={"description": "JSON, exactly as it was signed"})
    key_id = fields.String()
    previous = fields.String(metadata={"description": "the digest of the statement before"})
    digest = fields.String()
    made_at = instant_field()
    verifies = fields.Boolean(allow_none=True, metadata={"description": "null: no key is set to verify it with"})
    is_in_chain = fields.Boolean()
    reasons = fields.List(fields.String(), metadata={"description": "what is wrong with it"})


class RepairRequestSchema(ArgumentsSchema):
    """Which confirmed differences to repair."""

    comparison_id = fields.Integer(validate=validate.Range(1, 2**63 - 1), metadata={"description": "else the newest"})
    entity = entity_field()
    ids = fields.List(fields.String(validate=Whole(r"[!-~]{1,64}")), validate=validate.Length(1, MOST_IDS))
    include_asked = fields.Boolean(
        load_default=False, metadata={"description": "take the source's value of fields with the policy `ask`, too"}
    )
    dry_run = fields.Boolean(load_default=True, metadata={"description": "false: have the records read again"})
    seen_count = fields.Integer(
        validate=validate.Range(0),
        metadata={"description": "refused where the repair covers another number of records"},
    )


class EntityRepairSchema(Schema):
    """What a repair does about one entity."""

    entity = fields.String()
    record_count = fields.Integer(metadata={"description": "read again"})
    source_ids = fields.List(id_field(), metadata={"description": f"of these the first, at most {MOST_NAMED}"})
    kept_count = fields.Integer(metadata={"description": "left alone: a field has the policy `keep`"})
    asked_count = fields.Integer(metadata={"description": "left alone: a field has the policy `ask`"})
    api_call_count = fields.Integer()


class RepairPlanSchema(Schema):
    """A repair and its price; `run_ids` once it is requested."""

    comparison_id = id_field()
    record_count = fields.Integer()
    api_call_count = fields.Integer()
    seconds = fields.Float()
    parts = fields.List(fields.Nested(EntityRepairSchema))
    run_ids = fields.List(id_field())


class RecommendationSchema(Schema):
    """One thing to do next."""

    priority = fields.Integer(metadata={"description": "1 is most urgent, 10 least"})
    entity = fields.String()
    mode = fields.String(metadata={"description": "of the run it leads to; empty for none"})
    estimated_api_calls = fields.Integer(attribute="api_call_count")
    estimated_duration_seconds = fields.Float(attribute="seconds")
    reason = fields.String()
    command = fields.String()
