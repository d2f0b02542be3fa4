"""Routes of operators: listed, created, changed and disabled by administrators."""

from typing import Any

from sqlalchemy.orm import Session

from tds_api.auth.authentication import principal_name, require_grant, require_reach
from tds_api.auth.idempotency import SHOWN_ONCE
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.auth import OperatorChangeSchema, OperatorMadeSchema, OperatorRequestSchema, OperatorShownSchema
from tds_core.auth import operators
from tds_models.auth import Role
from tds_models.db import session_scope


def operator_routes(context: Context) -> Blueprint:
    """Operators."""
    routes = Blueprint("operators", __name__, url_prefix="/api/tds/operators", description="People who use TDS")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.response(200, OperatorShownSchema(many=True))
    def listed() -> Any:
        """The operators by name, the disabled ones too."""
        with session_scope(context.engine) as session:
            return operators.operators(session)

    @routes.post("")
    @needs(Role.ADMIN)
    @routes.arguments(OperatorRequestSchema)
    @routes.response(201, OperatorMadeSchema)
    def create(arguments: dict[str, Any]) -> Any:
        """Create an operator. Without a password one is made and shown in this response only."""
        require_grant(())
        with session_scope(context.engine) as session:
            row, password = operators.create_operator(session, by=principal_name(), **arguments)
        return {**row, "password": None if "password" in arguments else password}, 201, SHOWN_ONCE

    @routes.patch("/<name>")
    @needs(Role.ADMIN)
    @routes.arguments(OperatorChangeSchema)
    @routes.response(200, OperatorMadeSchema)
    def change(arguments: dict[str, Any], name: str) -> Any:
        """Change an operator's role or password, or disable or enable them."""
        require_grant(())
        with session_scope(context.engine) as session:
            return _changed(session, name, arguments), 200, SHOWN_ONCE

    @routes.delete("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, OperatorShownSchema)
    def disable(name: str) -> Any:
        """Disable an operator; what they did keeps their name."""
        require_reach(())
        with session_scope(context.engine) as session:
            return operators.disable(session, name)

    return routes


class OperatorWithPassword(operators.OperatorRow):
    """`password`: the one TDS made, shown once; None where none was made."""

    password: str | None


def _changed(session: Session, name: str, changes: dict[str, Any]) -> OperatorWithPassword:
    row = operators.operator_named(session, name)
    if "role" in changes:
        row = operators.change_role(session, name, changes["role"])
    if "is_disabled" in changes:
        row = (operators.disable if changes["is_disabled"] else operators.enable)(session, name)
    made = None
    if "password" in changes or changes.get("new_password"):
        row, made = operators.set_password(session, name, changes.get("password"))
    return {**row, "password": None if "password" in changes else made}
