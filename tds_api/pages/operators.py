"""The page of operators and API keys: who may do what, who is logged in, and one's own password."""

from datetime import UTC, datetime, timedelta
from typing import Final

from flask import Blueprint, Response

from tds_api.auth.authentication import current_identity
from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext, ngettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_core.auth.principal import PrincipalKind
from tds_models.auth import Role

_KEY_DAYS: Final = (1, 7, 30, 90, 365)


def operator_pages() -> Blueprint:
    """Operators and API keys."""
    routes = Blueprint("operator pages", __name__, url_prefix=f"{HOME}/operators")

    @routes.get("")
    @needs(Role.VIEWER)
    def operators() -> Response:
        """One's own sessions; for administrators all operators, and the keys of programs."""
        api = ApiClient.of_request()
        frame = PageFrame(template="operators.html", title=gettext("Operators and keys"), rows="operators")
        is_person = current_identity().principal.kind is PrincipalKind.OPERATOR
        own = {"sessions": api.get("sessions")} if is_person else {}
        parts = {**own, "operators": api.get("operators"), "keys": api.get("keys", **arguments())}
        return dashboard_page(frame, parts, roles=list(Role), ends=_ends())

    @routes.get("/<name>")
    @needs(Role.VIEWER)
    def operator(name: str) -> Response:
        """One operator's open sessions."""
        frame = PageFrame(template="operator.html", title=gettext("Operator %(name)s") % {"name": name},
                          rows="sessions")  # fmt: skip
        return dashboard_page(frame, {"sessions": ApiClient.of_request().get(f"operators/{name}/sessions")}, name=name)

    return routes


def _ends() -> list[tuple[str, str]]:
    """When a new key may end: moments with their words, to choose from."""
    now = datetime.now(UTC).replace(microsecond=0)
    ends = [
        ((now + timedelta(days=days)).isoformat(), ngettext("in %(num)s day", "in %(num)s days", days) % {"num": days})
        for days in _KEY_DAYS
    ]
    return [*ends, ("", gettext("never"))]
