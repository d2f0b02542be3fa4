"""Routes of subscriptions: created, listed, paused, resumed, rotated, replayed, tested and deleted."""

from typing import Any

from tds_api.auth.authentication import principal_name
from tds_api.auth.idempotency import SHOWN_ONCE
from tds_api.auth.permissions import needs
from tds_api.openapi import Blueprint
from tds_api.process_context import Context
from tds_api.schemas.common import page_schema
from tds_api.schemas.subscriptions import (
    DeliveryArgumentsSchema,
    DeliveryShownSchema,
    ReplaySchema,
    RotationSchema,
    SubscriptionArgumentsSchema,
    SubscriptionMadeSchema,
    SubscriptionRequestSchema,
    SubscriptionShownSchema,
    TestEventResultSchema,
)
from tds_core.subscriptions import replay as subscriptions_replay
from tds_core.subscriptions import subscriptions
from tds_core.subscriptions.replay import receiver_of, send_test_event
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_core.subscriptions.subscriptions import vault_of
from tds_models.auth import Role
from tds_models.db import session_scope


def subscription_routes(context: Context) -> Blueprint:
    """Subscriptions."""
    routes = Blueprint(
        "subscriptions", __name__, url_prefix="/api/tds/subscriptions", description="Outbound change events"
    )

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(SubscriptionArgumentsSchema, location="query")
    @routes.response(200, page_schema(SubscriptionShownSchema))
    def listed(arguments: dict[str, Any]) -> Any:
        """Subscriptions, the newest first: the state of each, and its pending events."""
        with session_scope(context.engine) as session:
            return subscriptions.subscriptions(session, **arguments)

    @routes.post("")
    @needs(Role.ADMIN)
    @routes.arguments(SubscriptionRequestSchema)
    @routes.response(201, SubscriptionMadeSchema)
    def create(arguments: dict[str, Any]) -> Any:
        """Subscribe. The secret is in this response and nowhere else; events begin with the next change."""
        vault, policy = vault_of(context.settings), configured_policy(context.settings)
        with session_scope(context.engine) as session:
            number, secret = subscriptions.create(session, vault, policy, by=principal_name(), **arguments)
            return {**subscriptions.subscription(session, str(number)), "secret": secret}, 201, SHOWN_ONCE

    @routes.get("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, SubscriptionShownSchema)
    def one(name: str) -> Any:
        """One subscription, by its name or id."""
        with session_scope(context.engine) as session:
            return subscriptions.subscription(session, name)

    @routes.delete("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, SubscriptionShownSchema)
    def delete(name: str) -> Any:
        """Delete a subscription, with its pending events and its deliveries."""
        with session_scope(context.engine) as session:
            shown = subscriptions.subscription(session, name)
            subscriptions.delete(session, name, by=principal_name())
            return shown

    @routes.get("/<name>/deliveries")
    @needs(Role.ADMIN)
    @routes.arguments(DeliveryArgumentsSchema, location="query")
    @routes.response(200, page_schema(DeliveryShownSchema))
    def deliveries(arguments: dict[str, Any], name: str) -> Any:
        """Deliveries of the last 30 days with their results, the newest first."""
        with session_scope(context.engine) as session:
            return subscriptions.deliveries(session, name, **arguments)

    _order_routes(routes, context)
    return routes


def _order_routes(routes: Blueprint, context: Context) -> None:
    @routes.post("/<name>/pause")
    @needs(Role.ADMIN)
    @routes.response(200, SubscriptionShownSchema)
    def pause(name: str) -> Any:
        """Send nothing until it is resumed; changes in the meantime are sent then."""
        with session_scope(context.engine) as session:
            subscriptions.pause(session, name, by=principal_name())
            return subscriptions.subscription(session, name)

    @routes.post("/<name>/resume")
    @needs(Role.ADMIN)
    @routes.response(200, SubscriptionShownSchema)
    def resume(name: str) -> Any:
        """Send again, whether it was paused, disabled or backed off; all that waits is due at once."""
        with session_scope(context.engine) as session:
            subscriptions.resume(session, name, by=principal_name())
            return subscriptions.subscription(session, name)

    @routes.post("/<name>/rotate")
    @needs(Role.ADMIN)
    @routes.arguments(RotationSchema)
    @routes.response(200, SubscriptionMadeSchema)
    def rotate(arguments: dict[str, Any], name: str) -> Any:
        """Make a new secret, shown only in this response; the previous one signs beside it for a while."""
        vault = vault_of(context.settings)
        with session_scope(context.engine) as session:
            _, secret = subscriptions.rotate(session, vault, name, **arguments)
            return {**subscriptions.subscription(session, name), "secret": secret}, 200, SHOWN_ONCE

    @routes.post("/<name>/replay")
    @needs(Role.ADMIN)
    @routes.arguments(ReplaySchema)
    @routes.response(202, SubscriptionShownSchema)
    def replay(arguments: dict[str, Any], name: str) -> Any:
        """Send events again: those since a moment, of a record from a version on, or those given up."""
        with session_scope(context.engine) as session:
            subscriptions_replay.replay(session, name, **arguments)
            return subscriptions.subscription(session, name)

    @routes.post("/<name>/test")
    @needs(Role.ADMIN)
    @routes.response(200, TestEventResultSchema)
    def test(name: str) -> Any:
        """Send an empty test event now, and return the receiver's response."""
        vault, policy = vault_of(context.settings), configured_policy(context.settings)
        with session_scope(context.engine) as session:
            receiver = receiver_of(session, name)
        return send_test_event(receiver, vault, policy, timeout_seconds=context.settings.outbound_timeout_seconds)
