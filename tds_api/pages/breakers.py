"""The page of circuit breakers: what is asked and what is left alone, its figures, and closing them by hand."""

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, dashboard_page
from tds_core.breakers.circuit import CircuitState
from tds_models.auth import Role


def breaker_pages() -> Blueprint:
    """Circuit breakers."""
    routes = Blueprint("breaker page", __name__, url_prefix=f"{HOME}/breakers")

    @routes.get("")
    @needs(Role.VIEWER)
    def breakers() -> Response:
        """Every breaker, those that are not closed first."""
        frame = PageFrame(template="breakers.html", title=gettext("Breakers"), rows="breakers", refresh_seconds=3)
        answer = ApiClient.of_request().get("circuit-breakers")
        ordered = sorted(answer.items, key=lambda each: each["state"] == CircuitState.CLOSED)
        open_count = sum(each["state"] != CircuitState.CLOSED for each in ordered)
        return dashboard_page(frame, {"breakers": answer}, ordered=ordered, open_count=open_count)

    return routes
