"""Routes of API keys: listed, created and revoked by administrators; a key is shown once."""

from typing import Any

from tds_api.auth.authentication import principal_name, require_grant, require_reach
from tds_api.auth.idempotency import SHOWN_ONCE
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.auth import KeyArgumentsSchema, KeyMadeSchema, KeyRequestSchema, KeyShownSchema
from tds_core.auth import api_keys
from tds_models.auth import Role
from tds_models.db import session_scope


def api_key_routes(context: Context) -> Blueprint:
    """API keys."""
    routes = Blueprint("keys", __name__, url_prefix="/api/tds/keys", description="API keys of programs")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(KeyArgumentsSchema, location="query")
    @routes.response(200, KeyShownSchema(many=True))
    def listed(arguments: dict[str, Any]) -> Any:
        """The keys, the newest first, without their secrets."""
        with session_scope(context.engine) as session:
            return api_keys.keys(session, **arguments)

    @routes.post("")
    @needs(Role.ADMIN)
    @routes.arguments(KeyRequestSchema)
    @routes.response(201, KeyMadeSchema)
    def create(arguments: dict[str, Any]) -> Any:
        """Make a key. Its secret is in this response and nowhere else."""
        require_grant(arguments.get("scopes", ()), until=arguments.get("expires_at"))
        with session_scope(context.engine) as session:
            row, key = api_keys.create_key(session, by=principal_name(), **arguments)
        return {**row, "key": key}, 201, SHOWN_ONCE

    @routes.delete("/<prefix>")
    @needs(Role.ADMIN)
    @routes.response(200, KeyShownSchema)
    def revoke(prefix: str) -> Any:
        """Revoke a key, at once and for ever."""
        with session_scope(context.engine) as session:
            require_reach(api_keys.key_named(session, prefix)["scopes"])
            return api_keys.revoke_key(session, prefix, by=principal_name())

    return routes
