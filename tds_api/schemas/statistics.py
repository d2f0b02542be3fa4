"""Schemas of statistics: figures as the entities declare them, trends, business figures, history and the scorecard."""

from functools import cache
from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import (
    ArgumentsSchema,
    entity_field,
    exact_field,
    id_field,
    instant_field,
    perhaps_instant_field,
)
from tds_core.statistics.acceptance_scorecard import Verdict
from tds_core.statistics.entity_figures import Figure, FigureKind, breakdowns_of, figures_of
from tds_core.statistics.local_time import LONGEST_HISTORY_DAYS
from tds_core.statistics.sync_performance import WINDOWS
from tds_core.statistics.trends import Direction
from tds_models.statistics import Grain

_FIELD_OF_KIND: dict[FigureKind, Any] = {
    FigureKind.COUNT: fields.Integer,
    FigureKind.AMOUNT: fields.String,
    FigureKind.MOMENT: lambda **more: fields.AwareDateTime(format="iso", allow_none=True, **more),
    FigureKind.SHARE: lambda **more: fields.Float(allow_none=True, **more),
    FigureKind.TEXT: lambda **more: fields.String(allow_none=True, **more),
}


def _members(figures: tuple[Figure, ...]) -> dict[str, Any]:
    return {
        figure.name: _FIELD_OF_KIND[figure.kind](metadata={"description": figure.meaning} if figure.meaning else {})
        for figure in figures
    }


def _title(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


@cache
def figures_schema(entity: str) -> type[Schema]:
    """The figures of an entity. Amounts are text, exactly as they were added up."""
    members = _members(figures_of(entity))
    for each in breakdowns_of(entity):
        row = Schema.from_dict(_members(each.columns), name=f"{_title(entity)}{_title(each.name)}")
        members[each.name] = fields.List(fields.Nested(row))
    return Schema.from_dict(members, name=f"{_title(entity)}Figures")


class TrendSchema(Schema):
    """How a figure changed since the end of a day."""

    figure = fields.String()
    currency = fields.String(allow_none=True, metadata={"description": "of an amount by currency"})
    days = fields.Integer(metadata={"description": "7 or 30"})
    from_day = fields.Date()
    then = exact_field(allow_none=True)
    now = exact_field(allow_none=True)
    change = exact_field(allow_none=True)
    change_percent = exact_field(allow_none=True)
    direction = fields.String(validate=validate.OneOf(list(Direction)))
    reason = fields.String(allow_none=True, metadata={"description": "why it is unknown"})


class SourceReportSchema(Schema):
    """What the source was last seen to have."""

    entity = fields.String()
    seen_by = fields.String(allow_none=True, metadata={"description": "comparison or full sync"})
    seen_at = perhaps_instant_field()
    there_count = fields.Integer(allow_none=True)
    here_count = fields.Integer(allow_none=True)
    match_percent = exact_field(allow_none=True)
    score = exact_field(allow_none=True)
    agreement = fields.String(allow_none=True)
    compared_at = perhaps_instant_field("when the last comparison ended")
    reason = fields.String(allow_none=True, metadata={"description": "why there_count is not known"})


def _figures(description: str) -> fields.Dict:
    return fields.Dict(
        keys=fields.String(), values=fields.Raw(), allow_none=True, metadata={"description": description}
    )


class AnyEntityReportSchema(Schema):
    """The statistics of an entity."""

    entity = fields.String()
    title = fields.String()
    measured_at = perhaps_instant_field()
    figures = _figures("null where they were never measured; see docs/statistics.md")
    reason = fields.String(allow_none=True, metadata={"description": "why there are no figures, and what to do"})
    source = fields.Nested(SourceReportSchema)
    trends = fields.List(fields.Nested(TrendSchema))


@cache
def report_schema(entity: str) -> type[Schema]:
    """The statistics of one entity."""
    members = {"figures": fields.Nested(figures_schema(entity), allow_none=True)}
    return type(f"{_title(entity)}Report", (AnyEntityReportSchema,), members)


class SuccessRateSchema(Schema):
    """How much of the work that ended within a window ended well."""

    window = fields.String(validate=validate.OneOf(list(WINDOWS)))
    since = instant_field()
    counted_since = fields.AwareDateTime(format="iso", metadata={"description": "later where less is stored"})
    succeeded_count = fields.Integer()
    failed_count = fields.Integer(metadata={"description": "given up, or a webhook that could not be read"})
    success_rate = fields.Float(allow_none=True, metadata={"description": "from 0 to 1; null: nothing ended"})
    attempt_count = fields.Integer()
    retried_count = fields.Integer()
    attempt_success_rate = fields.Float(allow_none=True)


class LatencySchema(Schema):
    """From webhook to row: bounds that a share of the webhooks stayed below."""

    window = fields.String()
    event_count = fields.Integer()
    p50_seconds = fields.Float(allow_none=True)
    p95_seconds = fields.Float(allow_none=True, metadata={"description": "null: none came, or over an hour"})
    p99_seconds = fields.Float(allow_none=True)
    share_below_60_seconds = fields.Float(allow_none=True)


class EntityTodaySchema(Schema):
    """One entity since midnight."""

    entity = fields.String()
    webhook_count = fields.Integer()
    synced_count = fields.Integer(metadata={"description": "records brought to their rows one by one"})
    changed_count = fields.Integer(metadata={"description": "versions written"})
    listed_count = fields.Integer(metadata={"description": "records that passes over the list have read"})
    retried_count = fields.Integer()
    failed_count = fields.Integer()
    fresh_at = perhaps_instant_field("every change at the source before it is known here")
    freshness_seconds = fields.Float(allow_none=True)


class TodaySchema(Schema):
    """Since midnight of the installation's time zone."""

    day = fields.Date()
    time_zone = fields.String()
    since = instant_field()
    webhook_count = fields.Integer()
    rejected_count = fields.Integer()
    unstored_count = fields.Integer()
    synced_count = fields.Integer()
    changed_count = fields.Integer()
    failed_count = fields.Integer()
    run_count = fields.Integer()
    failed_run_count = fields.Integer()
    entities = fields.List(fields.Nested(EntityTodaySchema))


class StatisticsOverviewSchema(Schema):
    """All entities, and the business figures."""

    at = instant_field()
    time_zone = fields.String()
    entities = fields.List(fields.Nested(AnyEntityReportSchema))
    today = fields.Nested(TodaySchema)
    success_rates = fields.List(fields.Nested(SuccessRateSchema))


class WorkHealthSchema(Schema):
    """How the work does."""

    at = instant_field()
    success_rates = fields.List(fields.Nested(SuccessRateSchema))
    today = fields.Nested(TodaySchema)
    latency = fields.List(fields.Nested(LatencySchema))


class CombinedSchema(Schema):
    """An entity here and at the source."""

    entity = fields.String()
    title = fields.String()
    measured_at = perhaps_instant_field()
    mirror = _figures("the mirror's figures")
    mirror_reason = fields.String(allow_none=True)
    source = fields.Nested(SourceReportSchema, allow_none=True, metadata={"description": "null: nothing was seen"})
    source_reason = fields.String(allow_none=True, metadata={"description": "why nothing was seen"})
    difference_count = fields.Integer(allow_none=True, metadata={"description": "records here less records there"})


class HistoryArgumentsSchema(ArgumentsSchema):
    """Which history."""

    days = fields.Integer(load_default=30, validate=validate.Range(1, LONGEST_HISTORY_DAYS))
    entity = entity_field()


class DaySchema(Schema):
    """The figures at the end of a day."""

    day = fields.Date()
    figures = _figures("null: nothing was measured that day")


class EntityHistorySchema(Schema):
    """The figures of an entity day by day, today last."""

    entity = fields.String()
    title = fields.String()
    days = fields.List(fields.Nested(DaySchema))
    trends = fields.List(fields.Nested(TrendSchema))


class HistorySchema(Schema):
    """The history of entities."""

    time_zone = fields.String()
    days = fields.Integer()
    entities = fields.List(fields.Nested(EntityHistorySchema))


class ActivityOfSpanSchema(Schema):
    """What happened in one hour or day."""

    began_at = instant_field()
    webhook_count = fields.Integer()
    rejected_count = fields.Integer()
    succeeded_count = fields.Integer()
    failed_count = fields.Integer(metadata={"description": "given up, or a webhook that could not be read"})
    retried_count = fields.Integer()
    changed_count = fields.Integer(metadata={"description": "versions written"})
    listed_count = fields.Integer(metadata={"description": "records that passes over the list have read"})
    run_count = fields.Integer()
    failed_run_count = fields.Integer()
    success_rate = fields.Float(allow_none=True, metadata={"description": "from 0 to 1; null: nothing ended"})
    p95_seconds = fields.Float(
        allow_none=True, metadata={"description": "from webhook to row; null: none came, or over an hour"}
    )


class ActivityHistorySchema(Schema):
    """The activity of a span, the oldest first."""

    time_zone = fields.String()
    days = fields.Integer()
    entity = fields.String(allow_none=True)
    grain = fields.String(validate=validate.OneOf(list(Grain)))
    items = fields.List(
        fields.Nested(ActivityOfSpanSchema), metadata={"description": "spans of which nothing is stored are left out"}
    )


class FreshnessPointSchema(Schema):
    """The freshness at one moment."""

    ended_at = instant_field()
    freshness_seconds = fields.Float(metadata={"description": "since when changes may have been unknown, in seconds"})


class EntityFreshnessSchema(Schema):
    """The freshness of one entity over a span."""

    entity = fields.String()
    points = fields.List(
        fields.Nested(FreshnessPointSchema),
        metadata={"description": "moments with no pass in the week before are left out"},
    )


class FreshnessHistorySchema(Schema):
    """The freshness of a span, the oldest first."""

    days = fields.Integer()
    grain = fields.String(validate=validate.OneOf(list(Grain)))
    entities = fields.List(fields.Nested(EntityFreshnessSchema))


class DeploymentSchema(Schema):
    """A version of TDS that began to run."""

    id = id_field()
    began_at = instant_field()
    version = fields.String()
    schema_revision = fields.String()


class ScorecardLineSchema(Schema):
    """One requirement of the scorecard."""

    name = fields.String()
    objective = fields.String()
    verdict = fields.String(validate=validate.OneOf(list(Verdict)))
    says = fields.String(metadata={"description": "the evidence in words"})
    evidence = fields.Dict(keys=fields.String(), values=fields.Raw())
    mend = fields.String(metadata={"description": "what to do; empty when nothing"})


class ScorecardSchema(Schema):
    """The scorecard of acceptance."""

    verdict = fields.String(validate=validate.OneOf(list(Verdict)))
    at = instant_field()
    window_days = fields.Integer()
    lines = fields.List(fields.Nested(ScorecardLineSchema))
