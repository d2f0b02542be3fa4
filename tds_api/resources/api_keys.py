"""Routes of API keys: made and shown once, seen, and ended by administrators."""

from typing import Any

from tds_api.auth.authentication import acting, giving, reaching
from tds_api.auth.idempotency import ONCE
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.auth import KeyArguments, KeyMade, KeyRequest, KeyShown
from tds_core.auth import api_keys
from tds_models.auth import Role
from tds_models.db import session_scope


def key_routes(edge: Context) -> Blueprint:
    """API keys."""
    routes = Blueprint("keys", __name__, url_prefix="/api/tds/keys", description="API keys of programs")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(KeyArguments, location="query")
    @routes.response(200, KeyShown(many=True))
    def listed(arguments: dict[str, Any]) -> Any:
        """The keys, the newest first, without what opens."""
        with session_scope(edge.engine) as session:
            return api_keys.keys(session, **arguments)

    @routes.post("")
    @needs(Role.ADMIN)
    @routes.arguments(KeyRequest)
    @routes.response(201, KeyMade)
    def create(arguments: dict[str, Any]) -> Any:
        """Make a key. What opens is in this answer and nowhere else."""
        giving(arguments.get("scopes", ()), until=arguments.get("expires_at"))
        with session_scope(edge.engine) as session:
            row, key = api_keys.create_key(session, by=acting(), **arguments)
        return {**row, "key": key}, 201, ONCE

    @routes.delete("/<prefix>")
    @needs(Role.ADMIN)
    @routes.response(200, KeyShown)
    def revoke(prefix: str) -> Any:
        """End a key, at once and for ever."""
        with session_scope(edge.engine) as session:
            reaching(api_keys.key_named(session, prefix)["scopes"])
            return api_keys.revoke_key(session, prefix, by=acting())

    return routes
