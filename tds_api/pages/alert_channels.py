"""The pages of alert channels: where alerts are sent, how each channel does, and the messages it got."""

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_core.alerts.channels.address import EXAMPLES
from tds_core.alerts.channels.address_fields import FIELDS
from tds_models.alerts import AlertDeliveryState, AlertSeverity
from tds_models.auth import Role


def alert_channel_pages() -> Blueprint:
    """Alert channels."""
    routes = Blueprint("alert channel pages", __name__, url_prefix=f"{HOME}/alerts/channels")

    @routes.get("")
    @needs(Role.VIEWER)
    def channels() -> Response:
        """The channels, and a form to make one of each kind."""
        frame = PageFrame(template="alert_channels.html", title=gettext("Channels"), rows="channels")
        parts = {"channels": ApiClient.of_request().get("alert-channels", **arguments())}
        return dashboard_page(frame, parts, severities=list(AlertSeverity), kinds=FIELDS)

    @routes.get("/<name>")
    @needs(Role.VIEWER)
    def channel(name: str) -> Response:
        """One channel with the messages it got."""
        api = ApiClient.of_request()
        frame = PageFrame(
            template="alert_channel.html", title=gettext("Channel %(name)s") % {"name": name}, rows="deliveries"
        )
        parts = {
            "channel": api.get(f"alert-channels/{name}"),
            "deliveries": api.get(f"alert-channels/{name}/deliveries", **arguments()),
        }
        return dashboard_page(
            frame, parts, severities=list(AlertSeverity), states=list(AlertDeliveryState), examples=EXAMPLES
        )

    return routes
