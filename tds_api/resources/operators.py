"""Routes of operators: let in, changed and shut out by administrators."""

from typing import Any

from sqlalchemy.orm import Session

from tds_api.auth.authentication import acting, giving, reaching
from tds_api.auth.idempotency import ONCE
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.auth import OperatorChange, OperatorMade, OperatorRequest, OperatorShown
from tds_core.auth import operators
from tds_models.auth import Role
from tds_models.db import session_scope


def operator_routes(edge: Context) -> Blueprint:
    """Operators."""
    routes = Blueprint("operators", __name__, url_prefix="/api/tds/operators", description="People who use TDS")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.response(200, OperatorShown(many=True))
    def listed() -> Any:
        """The operators by name, the disabled ones too."""
        with session_scope(edge.engine) as session:
            return operators.operators(session)

    @routes.post("")
    @needs(Role.ADMIN)
    @routes.arguments(OperatorRequest)
    @routes.response(201, OperatorMade)
    def create(arguments: dict[str, Any]) -> Any:
        """Make an operator. Without a password one is made and shown in this answer alone."""
        giving(())
        with session_scope(edge.engine) as session:
            row, password = operators.create_operator(session, by=acting(), **arguments)
        return {**row, "password": None if "password" in arguments else password}, 201, ONCE

    @routes.patch("/<name>")
    @needs(Role.ADMIN)
    @routes.arguments(OperatorChange)
    @routes.response(200, OperatorMade)
    def change(arguments: dict[str, Any], name: str) -> Any:
        """Give an operator another role or password, disable or enable them."""
        giving(())
        with session_scope(edge.engine) as session:
            return _changed(session, name, arguments), 200, ONCE

    @routes.delete("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, OperatorShown)
    def disable(name: str) -> Any:
        """Let an operator in no more; what they did keeps their name."""
        reaching(())
        with session_scope(edge.engine) as session:
            return operators.disable(session, name)

    return routes


def _changed(session: Session, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    row = operators.operator_named(session, name)
    if "role" in wanted:
        row = operators.change_role(session, name, wanted["role"])
    if "is_disabled" in wanted:
        row = (operators.disable if wanted["is_disabled"] else operators.enable)(session, name)
    made = None
    if "password" in wanted or wanted.get("new_password"):
        row, made = operators.set_password(session, name, wanted.get("password"))
    return {**row, "password": None if "password" in wanted else made}
