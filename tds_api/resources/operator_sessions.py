"""Routes of operators' sessions: an administrator sees and ends anybody's, an operator their own."""

from typing import Any

from flask import Response

from tds_api.auth.authentication import current_identity, delete_session_cookie, lifetime, require_reach
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.auth import EndedSessionsSchema, OperatorSessionSchema, OwnSessionsArgumentsSchema
from tds_core.auth import operator_sessions
from tds_core.auth.principal import PrincipalKind, SessionRequiredError
from tds_models.auth import Role
from tds_models.db import session_scope


def operator_session_routes(context: Context) -> Blueprint:
    """Sessions of operators."""
    routes = Blueprint("sessions", __name__, url_prefix="/api/tds", description="Who is logged in, and from where")

    @routes.get("/operators/<name>/sessions")
    @needs(Role.ADMIN)
    @routes.response(200, OperatorSessionSchema(many=True))
    def listed(name: str) -> Any:
        """The open sessions of an operator, the one used last first."""
        return _listed(context, name)

    @routes.delete("/operators/<name>/sessions")
    @needs(Role.ADMIN)
    @routes.response(200, EndedSessionsSchema)
    def end_all(name: str) -> Any:
        """End all sessions of an operator, from their next request on."""
        require_reach(())
        with session_scope(context.engine) as session:
            return {"ended_count": operator_sessions.end_sessions(session, name)}

    @routes.delete("/operators/<name>/sessions/<session_id>")
    @needs(Role.ADMIN)
    @routes.response(204)
    def end(name: str, session_id: str) -> Response:
        """End one session of an operator."""
        require_reach(())
        with session_scope(context.engine) as session:
            operator_sessions.end_session(session, name, session_id)
        return Response(status=204)

    _own_routes(routes, context)
    return routes


def _own_routes(routes: Blueprint, context: Context) -> None:
    @routes.get("/sessions")
    @needs(Role.VIEWER)
    @routes.response(200, OperatorSessionSchema(many=True))
    def listed_own() -> Any:
        """One's own open sessions; `is_current` marks the one that asks. Keys have none."""
        return _listed(context, _own_name())

    @routes.delete("/sessions")
    @needs(Role.VIEWER)
    @routes.arguments(OwnSessionsArgumentsSchema, location="query")
    @routes.response(200, EndedSessionsSchema)
    def end_all_own(arguments: dict[str, Any]) -> Any:
        """End one's own sessions, this one too unless it is kept."""
        token = current_identity().session_token if arguments["keep_current"] else None
        with session_scope(context.engine) as session:
            return {"ended_count": operator_sessions.end_sessions(session, _own_name(), kept_token=token)}

    @routes.delete("/sessions/<session_id>")
    @needs(Role.VIEWER)
    @routes.response(204)
    def end_own(session_id: str) -> Response:
        """End one of one's own sessions."""
        own = [each["id"] for each in _listed(context, _own_name()) if each["is_current"]]
        with session_scope(context.engine) as session:
            operator_sessions.end_session(session, _own_name(), session_id)
        response = Response(status=204)
        if session_id in own:
            delete_session_cookie(response)
        return response


def _listed(context: Context, name: str) -> list[operator_sessions.OperatorSessionRow]:
    token = current_identity().session_token
    with session_scope(context.engine) as session:
        return operator_sessions.open_sessions(session, name, lifetime=lifetime(context.settings), current_token=token)


def _own_name() -> str:
    """The name of the operator who asks. Raises SessionRequiredError for keys."""
    principal = current_identity().principal
    if principal.kind is not PrincipalKind.OPERATOR:
        raise SessionRequiredError("Only an operator who is logged in has sessions: log in first.")
    return principal.name
