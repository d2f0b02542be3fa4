"""Routes of subscriptions to change events: made, seen, paused, resumed, rotated, replayed, tried and deleted."""

from typing import Any

from tds_api.auth.authentication import acting
from tds_api.auth.idempotency import ONCE
from tds_api.auth.permissions import needs
from tds_api.context import Context
from tds_api.openapi import Blueprint
from tds_api.schemas.common import page_schema
from tds_api.schemas.subscriptions import (
    DeliveryArguments,
    DeliveryShown,
    Replay,
    Rotation,
    SubscriptionArguments,
    SubscriptionMade,
    SubscriptionRequest,
    SubscriptionShown,
    Trial,
)
from tds_core.subscriptions import replay as subscriptions_replay
from tds_core.subscriptions import subscriptions
from tds_core.subscriptions import subscriptions as reading
from tds_core.subscriptions.replay import receiver_of, send_test_event
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_core.subscriptions.subscriptions import vault_of
from tds_models.auth import Role
from tds_models.db import session_scope


def subscription_routes(edge: Context) -> Blueprint:
    """Subscriptions."""
    routes = Blueprint(
        "subscriptions", __name__, url_prefix="/api/tds/subscriptions", description="Outbound change events"
    )

    @routes.get("")
    @needs(Role.ADMIN)
    @routes.arguments(SubscriptionArguments, location="query")
    @routes.response(200, page_schema(SubscriptionShown))
    def listed(arguments: dict[str, Any]) -> Any:
        """Subscriptions, the newest first: how each stands, and what it is owed."""
        with session_scope(edge.engine) as session:
            return reading.subscriptions(session, **arguments)

    @routes.post("")
    @needs(Role.ADMIN)
    @routes.arguments(SubscriptionRequest)
    @routes.response(201, SubscriptionMade)
    def create(arguments: dict[str, Any]) -> Any:
        """Subscribe. The secret is in this answer and nowhere else; events begin with the next change."""
        vault, reach = vault_of(edge.settings), configured_policy(edge.settings)
        with session_scope(edge.engine) as session:
            made, secret = subscriptions.create(session, vault, reach, by=acting(), **arguments)
            return {**reading.subscription(session, str(made)), "secret": secret}, 201, ONCE

    @routes.get("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, SubscriptionShown)
    def one(name: str) -> Any:
        """One subscription, by its name or id."""
        with session_scope(edge.engine) as session:
            return reading.subscription(session, name)

    @routes.delete("/<name>")
    @needs(Role.ADMIN)
    @routes.response(200, SubscriptionShown)
    def delete(name: str) -> Any:
        """End a subscription, with what it is owed and what is known of its deliveries."""
        with session_scope(edge.engine) as session:
            shown = reading.subscription(session, name)
            subscriptions.delete(session, name, by=acting())
            return shown

    @routes.get("/<name>/deliveries")
    @needs(Role.ADMIN)
    @routes.arguments(DeliveryArguments, location="query")
    @routes.response(200, page_schema(DeliveryShown))
    def deliveries(arguments: dict[str, Any], name: str) -> Any:
        """What was sent and what came of it, the newest first; of the last 30 days."""
        with session_scope(edge.engine) as session:
            return reading.deliveries(session, name, **arguments)

    _orders(routes, edge)
    return routes


def _orders(routes: Blueprint, edge: Context) -> None:
    @routes.post("/<name>/pause")
    @needs(Role.ADMIN)
    @routes.response(200, SubscriptionShown)
    def pause(name: str) -> Any:
        """Send nothing until it is resumed; what changes meanwhile is told then."""
        with session_scope(edge.engine) as session:
            subscriptions.pause(session, name, by=acting())
            return reading.subscription(session, name)

    @routes.post("/<name>/resume")
    @needs(Role.ADMIN)
    @routes.response(200, SubscriptionShown)
    def resume(name: str) -> Any:
        """Send again, whether it was paused, disabled or rested; all that waits is due at once."""
        with session_scope(edge.engine) as session:
            subscriptions.resume(session, name, by=acting())
            return reading.subscription(session, name)

    @routes.post("/<name>/rotate")
    @needs(Role.ADMIN)
    @routes.arguments(Rotation)
    @routes.response(200, SubscriptionMade)
    def rotate(arguments: dict[str, Any], name: str) -> Any:
        """Another secret, in this answer and nowhere else; the one before signs beside it for a while."""
        vault = vault_of(edge.settings)
        with session_scope(edge.engine) as session:
            _, secret = subscriptions.rotate(session, vault, name, **arguments)
            return {**reading.subscription(session, name), "secret": secret}, 200, ONCE

    @routes.post("/<name>/replay")
    @needs(Role.ADMIN)
    @routes.arguments(Replay)
    @routes.response(202, SubscriptionShown)
    def replay(arguments: dict[str, Any], name: str) -> Any:
        """Tell again what was told: since a moment, a record from a version on, or what was given up."""
        with session_scope(edge.engine) as session:
            subscriptions_replay.replay(session, name, **arguments)
            return reading.subscription(session, name)

    @routes.post("/<name>/test")
    @needs(Role.ADMIN)
    @routes.response(200, Trial)
    def test(name: str) -> Any:
        """Send an event that says nothing, now, and see what comes back."""
        vault, reach = vault_of(edge.settings), configured_policy(edge.settings)
        with session_scope(edge.engine) as session:
            receiver = receiver_of(session, name)
        return send_test_event(receiver, vault, reach, timeout_seconds=edge.settings.outbound_timeout_seconds)
