"""Schemas of webhook coverage: by entity and hour, in short, and the gaps one by one."""

from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import (
    ArgumentsSchema,
    PageArgumentsSchema,
    entity_field,
    id_field,
    instant_field,
    perhaps_instant_field,
)
from tds_core.webhook_coverage.queries import MOST_HOURS, UNMEASURED
from tds_core.webhook_coverage.rule_state import RuleState
from tds_models.webhook_coverage import Announcement


class CoverageArgumentsSchema(ArgumentsSchema):
    """Which hours, of which entity."""

    hours = fields.Integer(
        load_default=24,
        validate=validate.Range(1, MOST_HOURS),
        metadata={"description": "how many hours back, the present one included"},
    )
    entity = entity_field()


class CoverageCountsSchema(Schema):
    """Changes by how they were announced."""

    changed_count = fields.Integer(metadata={"description": "all of them"})
    webhook_count = fields.Integer(metadata={"description": "brought by a webhook"})
    in_time_count = fields.Integer(metadata={"description": "found by polling while their webhook was here already"})
    late_count = fields.Integer(metadata={"description": "found by polling before their webhook came"})
    never_count = fields.Integer(metadata={"description": "found by polling; no webhook has come"})
    wrong_count = fields.Integer(
        metadata={"description": "found by polling; a webhook was refused or named another state"}
    )
    coverage_ratio = fields.Float(
        allow_none=True, metadata={"description": "share announced in time, 0 to 1; null without changes"}
    )


class CoverageCellSchema(CoverageCountsSchema):
    """One hour in which records of an entity changed."""

    hour_at = instant_field()


class EntityCoverageSummarySchema(CoverageCountsSchema):
    """The coverage of one entity."""

    entity = fields.String()
    title = fields.String()
    state = fields.String(
        validate=validate.OneOf([*UNMEASURED, *RuleState]),
        metadata={
            "description": "not_announced: the source has no webhook for it; not_measured: no webhook has come yet, or"
            " no full pass has ended; off: its webhooks stay away; missing: none ever came; heard: else"
        },
    )
    silent_events = fields.List(
        fields.String(), metadata={"description": "created, updated or deleted, where these alone stay away"}
    )
    begins_at = perhaps_instant_field("earlier changes do not count")
    last_received_at = perhaps_instant_field("the newest webhook")


class CellsField(fields.List):
    """The cells of an entity: up to two thousand, too many to be dumped field by field."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return [{**cell, "hour_at": cell["hour_at"].isoformat()} for cell in value]


class EntityCoverageSchema(EntityCoverageSummarySchema):
    """The coverage of one entity, hour by hour."""

    cells = CellsField(
        fields.Nested(CoverageCellSchema), metadata={"description": "the hours with changes; a quiet hour has none"}
    )


class CoverageSummarySchema(Schema):
    """The coverage of some hours."""

    hours = fields.Integer()
    from_at = instant_field()
    to_at = instant_field()
    measured_at = perhaps_instant_field("what was found two minutes before is counted")
    first_webhook_at = perhaps_instant_field("null while none has come: nothing is measured")
    total = fields.Nested(CoverageCountsSchema)
    entities = fields.List(fields.Nested(EntityCoverageSummarySchema))


class CoverageSchema(CoverageSummarySchema):
    """The coverage of some hours, hour by hour."""

    entities = fields.List(fields.Nested(EntityCoverageSchema))


class GapArgumentsSchema(PageArgumentsSchema):
    """Which gaps."""

    entity = entity_field()
    verdict = fields.String(validate=validate.OneOf(["late", "never", "wrong"]))
    since = instant_field()
    until = instant_field()
    changed_hour = instant_field()


class GapSchema(Schema):
    """A change that polling found and no webhook announced in time."""

    entry_id = id_field()
    source = fields.String()
    entity = fields.String()
    source_id = id_field()
    operation = fields.String()
    origin = fields.String(metadata={"description": "what found it"})
    correlation_id = fields.String()
    source_modified_at = perhaps_instant_field()
    changed_at = instant_field()
    found_at = instant_field()
    verdict = fields.String(validate=validate.OneOf(list(Announcement)))
    reason = fields.String(
        allow_none=True, metadata={"description": "of wrong: the code of the refusal, older_state or deleted"}
    )
    told_at = perhaps_instant_field("when the late webhook came")
