"""Routes of erasures: what TDS has of a person, and its erasure from rows, history, events and logs."""

from functools import partial
from typing import Any

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.erasure import ErasureRequestSchema, ErasureSchema, PersonKeySchema, PersonSearchSchema
from tds_core.audit_trail.seal_keys import seal_key
from tds_core.erasure import erase as core
from tds_core.erasure.person import PersonKey, find_by_email
from tds_core.sources.base import Source
from tds_core.sources.registry import open_source
from tds_models.auth import Role
from tds_models.db import session_scope

_PATH = "/<entity>/<source_id>"


def erasure_routes(context: Context) -> Blueprint:
    """Erasures of persons."""
    routes = Blueprint(
        "erasures", __name__, url_prefix="/api/tds/erasures", description="A person's values erased on request"
    )
    scope = partial(session_scope, context.engine)
    logs = context.settings.home / "logs"

    def source(name: str) -> Source:
        return open_source(name, context.settings, scope, context.breakers)

    @routes.post("/find")
    @needs(Role.ADMIN)
    @routes.arguments(PersonSearchSchema)
    @routes.response(200, PersonKeySchema)
    def find(arguments: dict[str, Any]) -> Any:
        """The customer, vendor or user with an e-mail address; 422 when more than one record has it."""
        with scope() as session:
            return find_by_email(session, arguments["email"], arguments["entity"])

    @routes.get(_PATH)
    @needs(Role.ADMIN)
    @routes.response(200, ErasureSchema)
    def preview(entity: str, source_id: str) -> Any:
        """What would be erased, by table, entity and id, and what no erasure reaches. Nothing is written."""
        with scope() as session:
            return core.preview(session, PersonKey(entity, source_id), logs=logs)

    @routes.post(_PATH)
    @needs(Role.ADMIN)
    @routes.arguments(ErasureRequestSchema)
    @routes.response(200, ErasureSchema)
    def erase(arguments: dict[str, Any], entity: str, source_id: str) -> Any:
        """Erase a person, and seal a note of it; cannot be undone, and may be repeated.

        409 while Zoho has the person: its next change of the record would bring back what is erased."""
        return core.erase(
            scope, PersonKey(entity, source_id), seal_key=lambda session: seal_key(session, context.settings),
            reason=arguments["reason"], by=principal_name(), logs=logs,
            source=None if arguments["although_zoho_has_it"] else source,
        )  # fmt: skip

    return routes
