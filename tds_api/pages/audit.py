"""The page of the audit trail: what operators did, and which records changed."""

from typing import Any, Final

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_core.explain.audit_log import Kind
from tds_models.auth import ActionOutcome, Role
from tds_models.entities import ENTITIES

_BOUNDS: Final = ("since", "until")


def audit_pages() -> Blueprint:
    """The audit trail."""
    routes = Blueprint("audit page", __name__, url_prefix=f"{HOME}/audit")

    @routes.get("")
    @needs(Role.VIEWER)
    def audit() -> Response:
        """Actions and changes, the newest first."""
        frame = PageFrame(template="audit.html", title=gettext("Audit trail"), rows="entries", refresh_seconds=10)
        filters = {name: _moment(value) if name in _BOUNDS else value for name, value in arguments().items()}
        return dashboard_page(
            frame, {"entries": ApiClient.of_request().get("audit", **filters)},
            kinds=list(Kind), entities=list(ENTITIES), outcomes=list(ActionOutcome),
        )  # fmt: skip

    return routes


def _moment(value: Any) -> Any:
    """What a field for a moment holds, in UTC; a moment with a zone stays as it is."""
    is_local = isinstance(value, str) and len(value) in (16, 19) and "T" in value
    return f"{value}{':00' if len(value) == 16 else ''}Z" if is_local else value
