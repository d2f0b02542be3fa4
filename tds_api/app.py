"""The application: routes put together around one edge."""

from collections.abc import Callable

import structlog
from flask import Flask

from tds_api.audit import audit_routes
from tds_api.breakers import breaker_routes
from tds_api.connecting import connecting_routes
from tds_api.correlation import install_correlation
from tds_api.cursors import cursor_routes
from tds_api.dashboard import dashboard_routes
from tds_api.description import describe
from tds_api.edge import Edge, make_edge
from tds_api.entities import entity_routes
from tds_api.errors import install_errors
from tds_api.findings import finding_routes
from tds_api.gate import install_gate
from tds_api.healing import healing_routes
from tds_api.health import health_routes
from tds_api.keys import key_routes
from tds_api.letters import letter_routes
from tds_api.live import live_routes
from tds_api.login import login_routes
from tds_api.monitoring import monitoring_routes
from tds_api.operators import operator_routes
from tds_api.protection import install_protection
from tds_api.quota import quota_routes
from tds_api.reception import reception_routes
from tds_api.recording import Recording
from tds_api.request_body import install_limits
from tds_api.runs import run_routes
from tds_api.schedules import schedule_routes
from tds_api.sessions import session_routes
from tds_api.spelling import ExactJson
from tds_api.subscriptions import subscription_routes
from tds_api.syncs import sync_routes
from tds_api.traced import Traced
from tds_api.webhooks import webhook_routes
from tds_api.work import work_routes
from tds_core import tracing
from tds_core.access.rates import Rates
from tds_core.config import Settings

log = structlog.get_logger(__name__)


def create_app(settings: Settings, *, nudge: Callable[[str], None]) -> Flask:
    """The WSGI application. `nudge(entity)` tells the workers of an entity to look; it may be slow and may fail."""
    app = Flask("tds_api", static_url_path="/api/tds/static")
    app.json = ExactJson(app)
    app.url_map.strict_slashes = False
    edge = make_edge(settings, nudge=nudge)
    app.extensions["tds"] = edge
    rates, recording = Rates(settings.redis_url), Recording(edge)
    install_correlation(app)
    install_protection(app)
    install_limits(app)
    install_gate(app, edge, rates, recording)
    _install_routes(app, edge, rates, recording)
    install_errors(app)
    if tracing.is_on():
        app.wsgi_app = Traced(app.wsgi_app)  # type: ignore[method-assign]
    if settings.unsigned_webhooks:
        log.warning("unsigned_webhooks_are_taken", mend="unset TDS_UNSIGNED_WEBHOOKS")
    elif not settings.zoho_webhook_secret:
        log.warning("no_webhook_is_believed", mend="set ZOHO_WEBHOOK_SECRET")
    return app


def _install_routes(app: Flask, edge: Edge, rates: Rates, recording: Recording) -> None:
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
