"""The application: routes put together around one edge.

Around the whole application where traces are wanted: the first span of every request's trace.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import structlog
from flask import Flask

from tds_api.auth.action_log import Recording
from tds_api.auth.middleware import install_auth
from tds_api.context import Context, make_context
from tds_api.dashboard.overview import dashboard_routes
from tds_api.http.correlation import choose_correlation_id, install_correlation
from tds_api.http.json import ExactJson
from tds_api.http.problems import install_errors
from tds_api.http.request_body import install_limits
from tds_api.http.security_headers import install_protection
from tds_api.monitoring import monitoring_routes
from tds_api.openapi import describe
from tds_api.pages.login import login_routes
from tds_api.pages.zoho_connect import connecting_routes
from tds_api.resources.actions import audit_routes
from tds_api.resources.api_keys import key_routes
from tds_api.resources.breakers import breaker_routes
from tds_api.resources.cursors import cursor_routes
from tds_api.resources.dead_letters import letter_routes
from tds_api.resources.entities import entity_routes
from tds_api.resources.findings import finding_routes
from tds_api.resources.healing import healing_routes
from tds_api.resources.health import health_routes
from tds_api.resources.live_comparison import live_routes
from tds_api.resources.operators import operator_routes
from tds_api.resources.queue import work_routes
from tds_api.resources.quota import quota_routes
from tds_api.resources.runs import run_routes, sync_routes
from tds_api.resources.schedules import schedule_routes
from tds_api.resources.sessions import session_routes
from tds_api.resources.subscriptions import subscription_routes
from tds_api.resources.webhook_events import reception_routes
from tds_api.webhooks.endpoint import METHODS, REFUSAL_KEY, WEBHOOKS, webhook_routes
from tds_core.auth.rate_limits import RateLimiter
from tds_core.config.settings import Settings
from tds_core.observability import tracing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Traced:
    """A WSGI application whose requests are traced under their correlation id."""

    def __init__(self, behind: "WSGIApplication") -> None:
        self._behind = behind

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if REFUSAL_KEY in environ:  # its trace began before Flask was asked
            return self._behind(environ, start_response)
        thread = environ["HTTP_X_CORRELATION_ID"] = choose_correlation_id(environ)
        path = str(environ.get("PATH_INFO", ""))
        method = str(environ["REQUEST_METHOD"])
        name = "webhook" if path.startswith(WEBHOOKS) and method in METHODS else f"request {method}"
        with tracing.span(name, correlation_id=thread, is_root=True, **{"url.path": path[:200]}):
            return self._behind(environ, start_response)


log = structlog.get_logger(__name__)


def create_app(settings: Settings, *, nudge: Callable[[str], None]) -> Flask:
    """The WSGI application. `nudge(entity)` tells the workers of an entity to look; it may be slow and may fail."""
    app = Flask("tds_api", static_url_path="/api/tds/static")
    app.json = ExactJson(app)
    app.url_map.strict_slashes = False
    edge = make_context(settings, nudge=nudge)
    app.extensions["tds"] = edge
    rates, recording = RateLimiter(settings.redis_url), Recording(edge)
    install_correlation(app)
    install_protection(app)
    install_limits(app)
    install_auth(app, edge, rates, recording)
    _install_routes(app, edge, rates, recording)
    install_errors(app)
    if tracing.is_on():
        app.wsgi_app = Traced(app.wsgi_app)  # type: ignore[method-assign]
    if settings.unsigned_webhooks:
        log.warning("unsigned_webhooks_are_taken", mend="unset TDS_UNSIGNED_WEBHOOKS")
    elif not settings.zoho_webhook_secret:
        log.warning("no_webhook_is_believed", mend="set ZOHO_WEBHOOK_SECRET")
    return app


def _install_routes(app: Flask, edge: Context, rates: RateLimiter, recording: Recording) -> None:
    app.register_blueprint(webhook_routes(edge))
    app.register_blueprint(monitoring_routes(edge))
    api = describe(app)
    api.register_blueprint(connecting_routes(edge, recording, rates))
    for routes in (
        reception_routes(edge),
        run_routes(edge),
        sync_routes(edge),
        work_routes(edge),
        schedule_routes(edge),
        entity_routes(edge),
        letter_routes(edge),
        breaker_routes(edge),
        cursor_routes(edge),
        finding_routes(edge),
        live_routes(edge),
        quota_routes(edge),
        healing_routes(edge),
        health_routes(edge),
        dashboard_routes(edge),
        session_routes(edge, rates, recording),
        login_routes(edge, rates, recording),
        key_routes(edge),
        operator_routes(edge),
        audit_routes(edge),
        subscription_routes(edge),
    ):
        api.register_blueprint(routes)
