"""The shape of a cursor, and of a wish to set it elsewhere."""

from marshmallow import Schema, fields

from tds_api.schemas.common import Arguments, Instant, perhaps_instant_field


class Cursor(Schema):
    """Where the next incremental read of an entity begins."""

    entity = fields.String()
    modified_at = perhaps_instant_field("changes from here on are read; null: everything")
    updated_at = perhaps_instant_field()
    run_id = fields.String(
        allow_none=True, metadata={"description": "the run that moved it; null: nobody, or a person"}
    )


class CursorArguments(Arguments):
    """Where to set it."""

    modified_at = Instant(required=True, format="iso")
