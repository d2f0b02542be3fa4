"""The shapes of findings."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import (
    PageArguments,
    entity_field,
    id_field,
    instant_field,
    name_field,
    perhaps_instant_field,
)
from tds_models.quality import Severity


class FindingArguments(PageArguments):
    """Which findings."""

    kind = name_field()
    entity = entity_field()
    is_open = fields.Boolean(data_key="open", metadata={"description": "true: those nobody has resolved yet"})


class Finding(Schema):
    """Something a person should know about an entity, or one of its records."""

    id = id_field()
    kind = fields.String(metadata={"description": "schema_drift, say"})
    severity = fields.String(validate=validate.OneOf(list(Severity)))
    source = fields.String()
    entity = fields.String()
    subject = fields.String(metadata={"description": "what it is about: a field, a record's id"})
    detail = fields.Raw(metadata={"description": "of schema_drift: news (new key, other kind, key gone), part, kinds"})
    first_seen_at = instant_field()
    last_seen_at = instant_field()
    resolved_at = perhaps_instant_field()
    resolved_by = fields.String(allow_none=True)
