"""Routes of the circuit breakers: their statistics, and closing one by hand."""

from typing import Any

from marshmallow import Schema, fields, validate

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import perhaps_instant_field
from tds_core.breakers.circuit import CircuitState
from tds_models.auth import Role


class BreakerSchema(Schema):
    """Routes of the circuit breakers: their statistics, and closing one by hand."""

    name = fields.String()
    state = fields.String(validate=validate.OneOf(list(CircuitState)))
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


def breaker_routes(context: Context) -> Blueprint:
    """Routes of the circuit breakers: their statistics, and closing one by hand."""
    routes = Blueprint(
        "breakers",
        __name__,
        url_prefix="/api/tds/circuit-breakers",
        description="What is asked, and what is left alone",
    )

    @routes.get("")
    @needs(Role.VIEWER)
    @routes.response(200, BreakerSchema(many=True))
    def breakers() -> Any:
        """Routes of the circuit breakers: their statistics, and closing one by hand."""
        return context.breakers.states()

    @routes.post("/reset")
    @needs(Role.OPERATOR)
    @routes.response(200, BreakerSchema(many=True))
    def reset_all() -> Any:
        """Close every breaker for all processes; returns them as they are now."""
        return context.breakers.reset_all(by=principal_name())

    @routes.post("/<name>/reset")
    @needs(Role.OPERATOR)
    @routes.response(200, BreakerSchema)
    def reset(name: str) -> Any:
        """Routes of the circuit breakers: their statistics, and closing one by hand."""
        return context.breakers.reset(name, by=principal_name())

    return routes
