"""The shapes of health: short for anybody, whole with its components and reasons."""

from marshmallow import Schema, fields


class Component(Schema):
    """One component."""

    name = fields.String()
    state = fields.String(metadata={"description": "ok, warning or critical"})
    says = fields.String(metadata={"description": "why"})
    mend = fields.String(metadata={"description": "what to do about it; empty when all is well"})


class MissingPermission(Schema):
    """A module of Zoho, or one record of it, that may not be read; all else goes on."""

    source = fields.String()
    api = fields.String()
    path = fields.String()
    source_id = fields.String(allow_none=True, metadata={"description": "the record; null: the whole module"})
    scope = fields.String(metadata={"description": "the scope to add"})
    entities = fields.List(fields.String(), metadata={"description": "what waits for it"})
    says = fields.String()
    refused_at = fields.AwareDateTime(format="iso", metadata={"description": "since when"})
    refusal_count = fields.Integer()
    next_try_at = fields.AwareDateTime(format="iso")


class Access(Schema):
    """How access to Zoho does."""

    access = fields.String(metadata={"description": "connected, refused, not tried yet or not connected"})
    since = fields.AwareDateTime(format="iso", allow_none=True)
    reason = fields.String()
    modules = fields.List(fields.Nested(MissingPermission), metadata={"description": "what may not be read, if any"})


class ShortHealth(Schema):
    """How TDS does, without anything a stranger should not know."""

    status = fields.String(metadata={"description": "ok, degraded, unhealthy or down"})
    score = fields.Integer(metadata={"description": "from 0 to 100"})
    unwell = fields.List(fields.String(), metadata={"description": "names of components that are not ok"})
    database = fields.String()
    redis = fields.String()
    zoho = fields.Nested(Access)
    figures = fields.Dict(keys=fields.String(), values=fields.Float())


class WholeHealth(Schema):
    """How TDS does, with the reasons."""

    status = fields.String(metadata={"description": "ok, degraded or unhealthy"})
    score = fields.Integer(metadata={"description": "from 0 to 100: a warning costs 10, something critical 40"})
    components = fields.List(fields.Nested(Component))
    figures = fields.Dict(keys=fields.String(), values=fields.Float())
