"""Routes of the audit log: which records changed, who did what, from where; and its seals begun anew."""

from typing import Any

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.auth import AuditArgumentsSchema, AuditEntrySchema, ResealRequestSchema, RestartedSealSchema
from tds_api.schemas.common import page_schema
from tds_core.audit_trail.restart_after_key_loss import begin_anew
from tds_core.audit_trail.seal_keys import readable_keys, seal_key
from tds_core.explain.audit_log import AuditFilter, entries
from tds_models.auth import Role
from tds_models.db import session_scope


def action_routes(context: Context) -> Blueprint:
    """The audit log."""
    routes = Blueprint("audit", __name__, url_prefix="/api/tds/audit", description="What changed, and who did what")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(AuditArgumentsSchema, location="query")
    @routes.response(200, page_schema(AuditEntrySchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Changes of records and actions of operators, refused ones too, the newest first. Reads are not recorded."""
        page = {name: arguments.pop(name) for name in ("cursor", "limit") if name in arguments}
        if operator := arguments.pop("operator", None):
            arguments["caller"] = operator
        with session_scope(context.engine) as session:
            return entries(session, AuditFilter(**arguments), **page)

    @routes.post("/reseal")
    @needs(Role.ADMIN)
    @routes.arguments(ResealRequestSchema)
    @routes.response(200, RestartedSealSchema)
    def reseal(arguments: dict[str, Any]) -> Any:
        """Begin the chain of seals anew, after a key of its seals was lost; 409 while all are known.

        The seals before stay, and verification says that they prove nothing. The new ones cover every row again."""
        with session_scope(context.engine) as session:
            key, keys = seal_key(session, context.settings), readable_keys(session, context.settings)
            return begin_anew(session, key, keys, by=principal_name(), **arguments)

    return routes
