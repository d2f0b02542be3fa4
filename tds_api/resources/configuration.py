"""Routes of the configuration: settings with their values in force, their versions, and changes at run time."""

from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from tds_api.auth.authentication import principal_name
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import page_schema
from tds_api.schemas.configuration import (
    SettingArgumentsSchema,
    SettingChangeSchema,
    SettingHistoryArgumentsSchema,
    SettingSchema,
    SettingStorySchema,
    SettingVersionSchema,
)
from tds_core.configuration import queries, versions
from tds_core.configuration.refresh import refresh
from tds_models.auth import Role
from tds_models.db import session_scope


def configuration_routes(context: Context) -> Blueprint:
    """The configuration."""
    routes = Blueprint("configuration", __name__, url_prefix="/api/tds/configuration", description="Settings in force")

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(SettingArgumentsSchema, location="query")
    @routes.response(200, SettingSchema(many=True))
    def listed(arguments: dict[str, Any]) -> Any:
        """Every setting: how it is declared, its value in force, and who put that there."""
        with session_scope(context.engine) as session:
            rows = queries.setting_rows(session, context.settings)
        return [row for row in rows if arguments.get("settable") in {None, row["is_settable"]}]

    @routes.get("/history")
    @needs(Role.ADMIN)
    @routes.arguments(SettingHistoryArgumentsSchema, location="query")
    @routes.response(200, page_schema(SettingVersionSchema))
    def history(arguments: dict[str, Any]) -> Any:
        """What was changed at run time, by whom and why, the newest first."""
        with session_scope(context.engine) as session:
            return versions.history(session, **arguments)

    @routes.get("/<key>")
    @needs(Role.ADMIN)
    @routes.response(200, SettingStorySchema)
    def one(key: str) -> Any:
        """One setting with its versions, each with the value before it."""
        with session_scope(context.engine) as session:
            return _story(context, session, key)

    @routes.put("/<key>")
    @needs(Role.ADMIN)
    @routes.arguments(SettingChangeSchema)
    @routes.response(200, SettingStorySchema)
    def change(arguments: dict[str, Any], key: str) -> Any:
        """Put a value in force in every process, within seconds and without a restart; the earlier ones are kept."""
        with session_scope(context.engine) as session:
            versions.change(
                session, key, arguments["value"], by=principal_name(), reason=arguments.get("reason"),
                seen_version=arguments.get("version"),
            )  # fmt: skip
        refresh(partial(session_scope, context.engine))
        with session_scope(context.engine) as session:
            return _story(context, session, key)

    return routes


def _story(context: Context, session: Session, key: str) -> queries.SettingStory:
    return queries.setting_story(session, context.settings, key)
