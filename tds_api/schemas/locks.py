"""Schemas of database locks."""

from marshmallow import Schema, fields

from tds_api.schemas.common import perhaps_instant_field


class WaiterSchema(Schema):
    """A session that waits for a lock."""

    pid = fields.Integer()
    application = fields.String()
    waits_since = perhaps_instant_field()


class LockHolderSchema(Schema):
    """A session with locks that are in the way of TDS, or may be."""

    pid = fields.Integer(metadata={"description": "for pg_terminate_backend(pid)"})
    user = fields.String(allow_none=True)
    application = fields.String(metadata={"description": "TDS's own begin with tds"})
    address = fields.String(allow_none=True, metadata={"description": "of the client; null on the same machine"})
    state = fields.String(allow_none=True, metadata={"description": "for example idle in transaction"})
    since = perhaps_instant_field("when its transaction began")
    state_since = perhaps_instant_field()
    tables = fields.Dict(
        keys=fields.String(), values=fields.String(), metadata={"description": "what it keeps others from, by table"}
    )
    blocks = fields.List(fields.Nested(WaiterSchema))
    waiting_item_count = fields.Integer(metadata={"description": "work items put off because of it"})
    statement = fields.String(allow_none=True, metadata={"description": "its first words, without values"})
