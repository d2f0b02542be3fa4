"""The shape of a record as the source shows it now, beside the mirror's row."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import id_field, instant_field, perhaps_instant_field

VERDICTS = ("equal", "different", "only_there", "only_here", "nowhere", "unreadable")


class Difference(Schema):
    """One field that is not the same on both sides."""

    field = fields.String()
    here = fields.Raw(allow_none=True)
    there = fields.Raw(allow_none=True)


class Live(Schema):
    """Both sides of one record."""

    entity = fields.String()
    source_id = id_field()
    verdict = fields.String(validate=validate.OneOf(VERDICTS))
    differences = fields.List(fields.Nested(Difference))
    not_shown = fields.List(
        fields.String(),
        metadata={"description": "fields with a value here that the source does not show of a record alone"},
    )
    problem = fields.String(allow_none=True, metadata={"description": "why the record cannot be read"})
    asked_at = instant_field()
    is_cached = fields.Boolean(metadata={"description": "kept from a moment ago; nothing newer is known since"})
    mirror_modified_at = perhaps_instant_field()
    record = fields.Raw(allow_none=True, metadata={"description": "the source's own record; null when it has none"})
