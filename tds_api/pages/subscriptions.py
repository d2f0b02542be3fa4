"""The pages of subscriptions: who is told of changes, and one subscription with its deliveries."""

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_models.auth import Role
from tds_models.entities import ENTITIES
from tds_models.subscriptions import DeliveryState, EventKind, SubscriptionState


def subscription_pages() -> Blueprint:
    """Subscriptions."""
    routes = Blueprint("subscription pages", __name__, url_prefix=f"{HOME}/subscriptions")

    @routes.get("")
    @needs(Role.VIEWER)
    def subscriptions() -> Response:
        """Who is told of changes, whether it is taken, and what is still to be sent."""
        frame = PageFrame(
            template="subscriptions.html", title=gettext("Subscriptions"), rows="subscriptions", refresh_seconds=10
        )
        parts = {"subscriptions": ApiClient.of_request().get("subscriptions", **arguments())}
        return dashboard_page(
            frame, parts, states=list(SubscriptionState), entities=list(ENTITIES), kinds=list(EventKind)
        )

    @routes.get("/<name>")
    @needs(Role.VIEWER)
    def subscription(name: str) -> Response:
        """One subscription, and its deliveries by the filters of the address."""
        api = ApiClient.of_request()
        frame = PageFrame(template="subscription.html", title=name, rows="deliveries", refresh_seconds=5)
        parts = {
            "subscription": api.get(f"subscriptions/{name}"),
            "deliveries": api.get(f"subscriptions/{name}/deliveries", **arguments()),
        }
        return dashboard_page(frame, parts, states=list(DeliveryState), entities=list(ENTITIES))

    return routes
