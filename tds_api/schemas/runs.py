"""Schemas of runs: requests, progress, holds and decisions; of repairs; and of stock statistics."""

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
from tds_models.runs import Mode, RunState

MOST_IDS = 10_000


#: Comparisons are requested as a whole, by a route of their own.
SYNC_MODES = [mode for mode in Mode if mode is not Mode.COMPARISON]


class RunArgumentsSchema(PageArgumentsSchema):
    """Which runs."""

    entity = entity_field()
    state = fields.String(validate=validate.OneOf(list(RunState)))
    mode = fields.String(validate=validate.OneOf(list(Mode)))
    since = instant_field()


class RunSchema(Schema):
    """One pass over a stream, or over given records."""

    id = id_field()
    source = fields.String()
    entity = fields.String()
    mode = fields.String()
    state = fields.String()
    requested_by = fields.String()
    requested_at = instant_field()
    started_at = perhaps_instant_field()
    ended_at = perhaps_instant_field()
    end_reason = fields.String(allow_none=True, metadata={"description": "why it ended, or why it does not go on"})
    behind_id = fields.String(allow_none=True, metadata={"description": "the run of this entity that goes first"})
    next_attempt_at = instant_field()
    attempts = fields.Integer()
    page_count = fields.Integer()
    api_call_count = fields.Integer(
        allow_none=True, metadata={"description": "null for targeted runs, whose records the queue reads"}
    )
    fetched_count = fields.Integer()
    expected_count = fields.Integer(allow_none=True)
    changed_count = fields.Integer(metadata={"description": "records the mirror had that it changed"})
    duration_seconds = fields.Float(allow_none=True)
    ends_at = perhaps_instant_field("when it ends if it goes on like this")
    outcomes = fields.Dict(keys=fields.String(), values=fields.Integer())
    cancel_requested_at = perhaps_instant_field()
    leased_until = perhaps_instant_field()
    correlation_id = fields.String()


class HoldSchema(Schema):
    """One time a run was held, and what was decided."""

    kind = fields.String(metadata={"description": "change or deletion"})
    reason = fields.String()
    record_count = fields.Integer(metadata={"description": "records the run would have come to"})
    preview = fields.Raw(metadata={"description": "counts and up to 20 examples"})
    held_at = instant_field()
    decision = fields.String(allow_none=True)
    decided_by = fields.String(allow_none=True)
    decided_at = perhaps_instant_field()
    approved_count = fields.Integer(allow_none=True, metadata={"description": "records the run may come to"})


class WholeRunSchema(RunSchema):
    """One run with what held it, the newest first, and what a dry run found."""

    holds = fields.List(fields.Nested(HoldSchema))
    refused = fields.String(allow_none=True, metadata={"description": "why it waits for access; null while it goes on"})
    report = fields.Raw(allow_none=True)


class ApprovalSchema(ArgumentsSchema):
    """How far an approval reaches."""

    up_to = fields.Integer(
        validate=validate.Range(1, 2**31 - 1),
        metadata={"description": "records the run may come to; without it twice what it was held for"},
    )


def _an_id() -> fields.String:
    return fields.String(validate=Whole(r"[!-~]{1,64}"))


class SyncArgumentsSchema(ArgumentsSchema):
    """What to sync."""

    ids = fields.List(_an_id(), validate=validate.Length(1, MOST_IDS))
    mode = fields.String(required=True, validate=validate.OneOf(SYNC_MODES))
    full = fields.Boolean(
        load_default=False, metadata={"description": "a dry run reads everything, not only what changed"}
    )
    force = fields.Boolean(
        load_default=False,
        metadata={"description": "mode targeted: apply what is read, whatever its time of change"},
    )


class RunRequestSchema(SyncArgumentsSchema):
    """A run to start."""

    entity = fields.String(required=True, validate=entity_field().validate)


class SyncAnswerSchema(Schema):
    """What was asked for."""

    entity = fields.String()
    mode = fields.String()
    run_id = id_field()
    item_count = fields.Integer(metadata={"description": "records to be read; in mode targeted only"})


class RepairAnswerSchema(Schema):
    """Rows that differ from their history, and the runs that refetch them; none: all is well."""

    entity = fields.String()
    missing_count = fields.Integer(metadata={"description": "rows that are not there"})
    differing_count = fields.Integer(metadata={"description": "rows that, or whose lines, stand otherwise"})
    run_ids = fields.List(id_field())


class SyncAllArgumentsSchema(ArgumentsSchema):
    """How to sync every entity."""

    mode = fields.String(load_default="incremental", validate=validate.OneOf([Mode.INCREMENTAL, Mode.FULL]))


class StockIdsSchema(ArgumentsSchema):
    """Products whose stock is asked for."""

    ids = fields.List(_an_id(), required=True, validate=validate.Length(1, MOST_IDS))


class StockAtLocationSchema(Schema):
    """The stock of one location."""

    location_id = id_field()
    location_name = fields.String(allow_none=True)
    product_count = fields.Integer()
    stock_on_hand = exact_field()


class StockRunsSchema(Schema):
    """The stock runs of the last day."""

    run_count = fields.Integer()
    failed_count = fields.Integer()
    api_call_count = fields.Integer(allow_none=True)
    changed_count = fields.Integer(allow_none=True)
    average_seconds = fields.Float(allow_none=True)


class StockStatsSchema(Schema):
    """The mirrored stock, its freshness, and its runs."""

    measured_at = instant_field()
    is_estimated = fields.Boolean(
        metadata={"description": "too many to be counted now, and not counted yet: product_count is about, others null"}
    )
    product_count = fields.Integer()
    details_left = fields.Integer(
        allow_none=True, metadata={"description": "products whose stock by location is still to be read"}
    )
    out_of_stock_count = fields.Integer(allow_none=True)
    negative_count = fields.Integer(allow_none=True)
    stock_on_hand = exact_field(allow_none=True)
    oldest_confirmed_at = perhaps_instant_field()
    last_changed_at = perhaps_instant_field()
    locations = fields.List(fields.Nested(StockAtLocationSchema))
    last_day = fields.Nested(StockRunsSchema)
    last_run = fields.Nested(RunSchema, allow_none=True)
