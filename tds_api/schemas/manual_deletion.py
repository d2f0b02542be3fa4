"""Schemas of deletions by hand: one row that its source denies, and the rows of another organisation."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import Whole, entity_field, id_field


class DeletionRequestSchema(Schema):
    """Why a row is to be marked deleted."""

    reason = fields.String(required=True, validate=Whole(r"[^\x00]{3,500}"))
    confirmed_gone = fields.Boolean(
        load_default=False,
        metadata={"description": "a person knows that Zoho no longer has it: Zoho is not asked"},
    )


class DeletionSchema(Schema):
    """What became of a row."""

    entity = fields.String()
    source_id = id_field()
    outcome = fields.String(validate=validate.OneOf(["deleted", "unchanged"]))


class ForeignRowsSchema(Schema):
    """Living rows of an entity that name another organisation than the mirrored one."""

    entity = fields.String(required=True, validate=entity_field().validate)
    organization_id = fields.String(required=True, validate=Whole(r"[^\x00]{1,40}"))
    row_count = fields.Integer(required=True, validate=validate.Range(1))


class ForeignRowsRemovalSchema(Schema):
    """The rows to remove, as they were shown."""

    rows = fields.List(fields.Nested(ForeignRowsSchema), required=True, validate=validate.Length(1, 500))
    reason = fields.String(required=True, validate=Whole(r"[^\x00]{3,500}"))


class RemovedRowsSchema(Schema):
    """How many rows were marked deleted, and what is left."""

    removed_count = fields.Integer()
    left = fields.List(fields.Nested(ForeignRowsSchema))
