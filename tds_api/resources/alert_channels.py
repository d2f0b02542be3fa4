"""Routes of alert channels: made, changed, deleted, tested, rotated; and the messages they got."""

from typing import Any

from sqlalchemy.orm import Session

from tds_api.auth.authentication import principal_name
from tds_api.auth.idempotency import SHOWN_ONCE
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.alert_channels import (
    ChannelChangeSchema,
    ChannelDeliveryArgumentsSchema,
    ChannelMadeSchema,
    ChannelRequestSchema,
    ChannelRotationSchema,
    ChannelSchema,
    ChannelTestResultSchema,
)
from tds_api.schemas.alerts import AlertDeliverySchema
from tds_api.schemas.common import PageArgumentsSchema, page_schema
from tds_core.alerts import channel_tests, queries
from tds_core.alerts.channel_tests import SentBy
from tds_core.alerts.channels import store
from tds_core.alerts.channels.address_fields import address_of
from tds_core.alerts.channels.sending import send_test
from tds_core.alerts.channels.store import ChannelTerms
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_core.subscriptions.subscriptions import vault_of
from tds_models.auth import Role
from tds_models.db import session_scope


def alert_channel_routes(context: Context) -> Blueprint:
    """Alert channels."""
    routes = Blueprint(
        "alert-channels", __name__, url_prefix="/api/tds/alert-channels", description="Where alerts are sent"
    )

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(PageArgumentsSchema, location="query")
    @routes.response(200, page_schema(ChannelSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Channels, the newest first, and how they do."""
        with session_scope(context.engine) as session:
            return store.channels(session, **arguments)

    @routes.post("")
    @needs(Role.ADMIN)
    @routes.arguments(ChannelRequestSchema)
    @routes.response(201, ChannelMadeSchema)
    def create(arguments: dict[str, Any]) -> Any:
        """Make a channel. The secret that signs a webhook's messages is in this response and nowhere else."""
        vault, policy = vault_of(context.settings), configured_policy(context.settings)
        name, kind, values = arguments.pop("name"), arguments.pop("kind", None), arguments.pop("fields_", {})
        address = arguments.pop("address", "") or address_of(kind, values)
        with session_scope(context.engine) as session:
            number, secret = store.create(
                session, vault, policy, name=name, address=address, by=principal_name(), terms=_terms(arguments)
            )
            return {**store.channel(session, str(number)), "secret": secret}, 201, SHOWN_ONCE

    @routes.get("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, ChannelSchema)
    def one(name: str) -> Any:
        """One channel, by its name or id, and how it does."""
        with session_scope(context.engine) as session:
            return store.channel(session, name)

    @routes.put("/<name>")
    @needs(Role.ADMIN)
    @routes.arguments(ChannelChangeSchema)
    @routes.response(200, ChannelSchema)
    def change(arguments: dict[str, Any], name: str) -> Any:
        """Change when a channel gets messages, or its address for another of the same kind."""
        vault, policy = vault_of(context.settings), configured_policy(context.settings)
        address = arguments.pop("address", "")
        with session_scope(context.engine) as session:
            store.change(session, vault, policy, name, terms=_terms(arguments), address=address)
            return store.channel(session, name)

    @routes.delete("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, ChannelSchema)
    def delete(name: str) -> Any:
        """Delete a channel with its secrets; the messages it got stay in the history."""
        with session_scope(context.engine) as session:
            shown = store.channel(session, name)
            store.delete(session, name)
            return shown

    @routes.get("/<name>/deliveries")
    @needs(Role.ADMIN)
    @routes.arguments(ChannelDeliveryArgumentsSchema, location="query")
    @routes.response(200, page_schema(AlertDeliverySchema))
    def deliveries(arguments: dict[str, Any], name: str) -> Any:
        """Messages of a channel with what came of each, the newest first; kept for 90 days."""
        with session_scope(context.engine) as session:
            return queries.deliveries(session, _id_of(session, name), **arguments)

    _secret_routes(routes, context)
    return routes


def _secret_routes(routes: Blueprint, context: Context) -> None:
    @routes.post("/<name>/rotate")
    @needs(Role.ADMIN)
    @routes.arguments(ChannelRotationSchema)
    @routes.response(200, ChannelMadeSchema)
    def rotate(arguments: dict[str, Any], name: str) -> Any:
        """Make a new secret for a webhook, shown only in this response; the one before signs for a while, too."""
        vault = vault_of(context.settings)
        with session_scope(context.engine) as session:
            _, secret = store.rotate(session, vault, name, **arguments)
            return {**store.channel(session, name), "secret": secret}, 200, SHOWN_ONCE

    @routes.post("/<name>/test")
    @needs(Role.ADMIN)
    @routes.response(200, ChannelTestResultSchema)
    def test(name: str) -> Any:
        """Send a message that says it is a test, now, and return what came of it; it is kept with the deliveries."""
        vault = vault_of(context.settings)
        with session_scope(context.engine) as session:
            channel = store.opened_channel(session, vault, name)
        outcome = send_test(channel, settings=context.settings)
        with session_scope(context.engine) as session:
            return channel_tests.keep(session, channel.id, outcome, sent_by=SentBy.RUNNING, by=principal_name())


def _terms(arguments: dict[str, Any]) -> ChannelTerms:
    """What is left of the arguments."""
    return ChannelTerms(**arguments)


def _id_of(session: Session, name: str) -> int:
    return store.channel(session, name)["id"]
