"""The pages of alert rules: when alerts fire, every version of their terms, and what other terms would have done."""

from flask import Blueprint, Response

from tds_api.auth.permissions import needs
from tds_api.pages.common.actions import HOME
from tds_api.pages.common.api_client import ApiClient
from tds_api.pages.common.i18n import gettext
from tds_api.pages.common.page_rendering import PageFrame, arguments, dashboard_page
from tds_models.alerts import AlertSeverity
from tds_models.auth import Role


def alert_rule_pages() -> Blueprint:
    """Alert rules."""
    routes = Blueprint("alert rule pages", __name__, url_prefix=f"{HOME}/alerts/rules")

    @routes.get("")
    @needs(Role.VIEWER)
    def rules() -> Response:
        """Every rule with its terms in force."""
        frame = PageFrame(template="alert_rules.html", title=gettext("Rules of alerts"), rows="rules")
        return dashboard_page(frame, {"rules": ApiClient.of_request().get("alert-rules")})

    @routes.get("/<name>")
    @needs(Role.VIEWER)
    def rule(name: str) -> Response:
        """One rule; the address may hold other terms, to try them on the past."""
        api = ApiClient.of_request()
        frame = PageFrame(template="alert_rule.html", title=gettext("Rule %(name)s") % {"name": name})
        parts = {
            "rule": api.get(f"alert-rules/{name}"),
            "dry_run": api.get(f"alert-rules/{name}/dry-run", **arguments()),
        }
        return dashboard_page(frame, parts, severities=list(AlertSeverity))

    return routes
