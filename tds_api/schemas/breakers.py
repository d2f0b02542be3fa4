"""The shape of a circuit breaker."""

from marshmallow import Schema, fields, validate

from tds_api.schemas.common import perhaps_instant_field
from tds_core.breakers.circuit import State


class Breaker(Schema):
    """One breaker and its statistics since it was first used."""

    name = fields.String()
    state = fields.String(validate=validate.OneOf(list(State)))
    call_count = fields.Integer(metadata={"description": "calls that were made"})
    success_count = fields.Integer()
    failure_count = fields.Integer()
    rejection_count = fields.Integer(metadata={"description": "calls that were refused while it was not closed"})
    change_count = fields.Integer(metadata={"description": "changes of its state"})
    success_rate = fields.Float(allow_none=True, metadata={"description": "from 0 to 1"})
    failures_in_row = fields.Integer()
    opened_at = perhaps_instant_field("when it last left the closed state")
    next_probe_at = perhaps_instant_field("null while it is closed")
    changed_at = perhaps_instant_field()
    last_success_at = perhaps_instant_field()
    last_failure_at = perhaps_instant_field()
    last_error = fields.String(allow_none=True)
    reset_by = fields.String(allow_none=True, metadata={"description": "who closed it last by hand"})
    is_shared = fields.Boolean(metadata={"description": "false while Redis is away: the figures of this process alone"})
