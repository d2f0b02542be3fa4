"""Schemas of erasures: which record a person is, what TDS has of them, and why it is erased."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import Whole, id_field
from tds_core.erasure.person import PERSONS


class PersonSearchSchema(Schema):
    """The e-mail address a person has in Zoho."""

    email = fields.String(required=True, validate=Whole(r"[^\x00\s@]{1,64}@[^\x00\s@]{1,250}"))
    entity = fields.String(load_default=None, allow_none=True, validate=validate.OneOf(PERSONS))


class PersonKeySchema(Schema):
    """The record a person is."""

    entity = fields.String(validate=validate.OneOf(PERSONS))
    source_id = id_field()


class ErasureRequestSchema(Schema):
    """Why a person is erased; it stands in the sealed note and the action log, so it names nobody."""

    reason = fields.String(required=True, validate=Whole(r"[^\x00]{3,500}"))
    although_zoho_has_it = fields.Boolean(
        load_default=False,
        metadata={"description": "Zoho is not asked; its next change of the record brings back what is erased"},
    )


class FoundPlaceSchema(Schema):
    """Where values of the person stand, or stood."""

    table = fields.String()
    entity = fields.String(metadata={"description": "whose records; empty where values alone are searched"})
    row_count = fields.Integer()
    ids = fields.List(fields.String(), metadata={"description": "the first 20: of records in mirror tables, of rows"})


class ErasureSchema(PersonKeySchema):
    """What TDS has of a person, or had before it was erased; none of the values themselves."""

    places = fields.List(fields.Nested(FoundPlaceSchema))
    row_count = fields.Integer()
    value_count = fields.Integer(metadata={"description": "by how many values the person is recognised"})
    document_count = fields.Integer(metadata={"description": "records that refer to the person"})
    log_files = fields.Dict(
        keys=fields.String(), values=fields.Integer(), metadata={"description": "of the machine that answers"}
    )
    out_of_reach = fields.List(fields.String(), metadata={"description": "what no erasure reaches"})
    note_number = fields.Integer(
        allow_none=True, metadata={"description": "the seal that says that the person was erased; null before"}
    )
