"""Routes of access: operators and keys, made, changed and ended by administrators; and what everybody did."""

from typing import Any

from flask_smorest import Blueprint

from tds_api.callers import acting
from tds_api.edge import Edge
from tds_api.permissions import needs
from tds_api.schemas.access import (
    ActionShown,
    AuditArguments,
    KeyArguments,
    KeyMade,
    KeyRequest,
    KeyShown,
    OperatorChange,
    OperatorMade,
    OperatorRequest,
    OperatorShown,
)
from tds_api.schemas.common import page_schema
from tds_core.access import actions, keys, operators
from tds_models.callers import Role
from tds_models.db import session_scope

#: What is shown once must stay in no cache, and in no answer kept for a repeated request.
ONCE = {"Cache-Control": "no-store"}


def key_routes(edge: Edge) -> Blueprint:
    """API keys."""
    routes = Blueprint("keys", __name__, url_prefix="/api/tds/keys", description="API keys of programs")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(KeyArguments, location="query")
    @routes.response(200, KeyShown(many=True))
    def listed(arguments: dict[str, Any]) -> Any:
        """The keys, the newest first, without what opens."""
        with session_scope(edge.engine) as session:
            return keys.keys(session, **arguments)

    @routes.post("")
    @needs(Role.ADMIN)
    @routes.arguments(KeyRequest)
    @routes.response(201, KeyMade)
    def create(arguments: dict[str, Any]) -> Any:
        """Make a key. What opens is in this answer and nowhere else."""
        with session_scope(edge.engine) as session:
            row, key = keys.create_key(session, by=acting(), **arguments)
        return {**row, "key": key}, 201, ONCE

    @routes.delete("/<prefix>")
    @needs(Role.ADMIN)
    @routes.response(200, KeyShown)
    def revoke(prefix: str) -> Any:
        """End a key, at once and for ever."""
        with session_scope(edge.engine) as session:
            return keys.revoke_key(session, prefix, by=acting())

    return routes


def operator_routes(edge: Edge) -> Blueprint:
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
        with session_scope(edge.engine) as session:
            row, password = operators.create_operator(session, by=acting(), **arguments)
        return {**row, "password": None if "password" in arguments else password}, 201, ONCE

    @routes.patch("/<name>")
    @needs(Role.ADMIN)
    @routes.arguments(OperatorChange)
    @routes.response(200, OperatorMade)
    def change(arguments: dict[str, Any], name: str) -> Any:
        """Give an operator another role or password, disable or enable them."""
        with session_scope(edge.engine) as session:
            return _changed(session, name, arguments), 200, ONCE

    @routes.delete("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, OperatorShown)
    def disable(name: str) -> Any:
        """Let an operator in no more; what they did keeps their name."""
        with session_scope(edge.engine) as session:
            return operators.disable(session, name)

    return routes


def audit_routes(edge: Edge) -> Blueprint:
    """What was done."""
    routes = Blueprint("audit", __name__, url_prefix="/api/tds/audit", description="Who did what, from where")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(AuditArguments, location="query")
    @routes.response(200, page_schema(ActionShown))
    def listed(arguments: dict[str, Any]) -> Any:
        """Actions, the newest first; refused ones too. Reads are not written down."""
        with session_scope(edge.engine) as session:
            return actions.actions(session, **arguments)

    return routes


def _changed(session: Any, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    row = operators.operator_named(session, name)
    if "role" in wanted:
        row = operators.change_role(session, name, wanted["role"])
    if "is_disabled" in wanted:
        row = (operators.disable if wanted["is_disabled"] else operators.enable)(session, name)
    made = None
    if "password" in wanted or wanted.get("new_password"):
        row, made = operators.set_password(session, name, wanted.get("password"))
    return {**row, "password": None if "password" in wanted else made}
