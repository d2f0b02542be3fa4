"""The Flask application: middleware and routes around one context, traced if tracing is on."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import structlog
from flask import Flask

from tds_api.auth.action_log import ActionRecorder
from tds_api.auth.middleware import install_auth
from tds_api.former_addresses import install_former_addresses
from tds_api.http.correlation import choose_correlation_id, install_correlation
from tds_api.http.json import ExactJson
from tds_api.http.problems import install_errors
from tds_api.http.request_body import install_limits
from tds_api.http.security_headers import install_protection
from tds_api.openapi import Blueprint, describe
from tds_api.pages.login import login_routes
from tds_api.pages.registry import install_pages
from tds_api.pages.zoho_connect import zoho_connect_routes
from tds_api.probes_and_metrics import monitoring_routes
from tds_api.process_context import Context, make_context
from tds_api.resources.action_log import action_routes
from tds_api.resources.alert_channels import alert_channel_routes
from tds_api.resources.alert_rules import alert_rule_routes
from tds_api.resources.alert_silences import alert_silence_routes
from tds_api.resources.alerts import alert_routes
from tds_api.resources.api_keys import api_key_routes
from tds_api.resources.auto_healing import healing_routes, worker_routes
from tds_api.resources.breakers import breaker_routes
from tds_api.resources.comparison import comparison_routes
from tds_api.resources.configuration import configuration_routes
from tds_api.resources.cursors import cursor_routes
from tds_api.resources.dashboard import overview_routes
from tds_api.resources.dead_letters import dead_letter_routes
from tds_api.resources.entities import entity_routes
from tds_api.resources.erasure import erasure_routes
from tds_api.resources.event_replays import replay_routes
from tds_api.resources.findings import finding_routes
from tds_api.resources.health import health_routes
from tds_api.resources.live_comparison import live_comparison_routes
from tds_api.resources.locks import lock_routes
from tds_api.resources.manual_deletion import deletion_routes
from tds_api.resources.migration import migration_routes
from tds_api.resources.operator_sessions import operator_session_routes
from tds_api.resources.operators import operator_routes
from tds_api.resources.queue import queue_routes
from tds_api.resources.quota import quota_routes
from tds_api.resources.reveals import reveal_routes
from tds_api.resources.runs import run_routes, sync_routes
from tds_api.resources.schedules import schedule_routes
from tds_api.resources.search import search_routes
from tds_api.resources.sessions import session_routes
from tds_api.resources.statistics import statistics_routes
from tds_api.resources.subscriptions import subscription_routes
from tds_api.resources.validation import validation_routes
from tds_api.resources.webhook_coverage import webhook_coverage_routes
from tds_api.resources.webhook_events import webhook_event_routes
from tds_api.webhooks.endpoint import METHODS, REFUSAL_KEY, WEBHOOKS, webhook_routes
from tds_core.auth.rate_limits import RateLimiter
from tds_core.config.settings import Settings
from tds_core.observability import tracing

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class TracingMiddleware:
    """WSGI middleware: begins the trace of every request under its correlation id."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if REFUSAL_KEY in environ:  # its trace began in the event loop
            return self._application(environ, start_response)
        correlation_id = environ["HTTP_X_CORRELATION_ID"] = choose_correlation_id(environ)
        path = str(environ.get("PATH_INFO", ""))
        method = str(environ["REQUEST_METHOD"])
        name = "webhook" if path.startswith(WEBHOOKS) and method in METHODS else f"request {method}"
        with tracing.span(name, correlation_id=correlation_id, is_root=True, **{"url.path": path[:200]}):
            return self._application(environ, start_response)


log = structlog.get_logger(__name__)


def create_app(settings: Settings, *, nudge: Callable[[str], None]) -> Flask:
    """The Flask application. `nudge(entity)` makes the workers of an entity look; it may be slow and may fail."""
    app = Flask("tds_api", static_url_path="/api/tds/static")
    app.json = ExactJson(app)
    app.url_map.strict_slashes = False
    context = make_context(settings, nudge=nudge)
    app.extensions["tds"] = context
    rates, recorder = RateLimiter(settings.redis_url), ActionRecorder(context)
    install_correlation(app)
    install_protection(app)
    install_limits(app)
    install_auth(app, context, rates, recorder)
    _install_routes(app, context, rates, recorder)
    install_pages(app, context)
    install_former_addresses(app)
    install_errors(app)
    if tracing.is_on():
        app.wsgi_app = TracingMiddleware(app.wsgi_app)
    if settings.unsigned_webhooks:
        log.warning("unsigned_webhooks_are_taken", mend="unset TDS_UNSIGNED_WEBHOOKS")
    elif not settings.zoho_webhook_secret:
        log.warning("no_webhook_is_believed", mend="set ZOHO_WEBHOOK_SECRET")
    return app


def _install_routes(app: Flask, context: Context, rates: RateLimiter, recorder: ActionRecorder) -> None:
    app.register_blueprint(webhook_routes(context))
    app.register_blueprint(monitoring_routes(context))
    api = describe(app)
    api.register_blueprint(zoho_connect_routes(context, recorder, rates))
    for routes in (
        webhook_coverage_routes(context),
        webhook_event_routes(context),
        replay_routes(context),
        run_routes(context),
        sync_routes(context),
        *_work_routes(context),
        entity_routes(context),
        reveal_routes(context),
        deletion_routes(context),
        erasure_routes(context),
        search_routes(context),
        breaker_routes(context),
        cursor_routes(context),
        configuration_routes(context),
        validation_routes(context),
        finding_routes(context),
        live_comparison_routes(context),
        comparison_routes(context),
        migration_routes(context),
        quota_routes(context),
        health_routes(context),
        overview_routes(context),
        *_identity_routes(context, rates, recorder),
        lock_routes(context),
        subscription_routes(context),
        alert_routes(context),
        alert_silence_routes(context),
        alert_rule_routes(context),
        alert_channel_routes(context),
        statistics_routes(context),
    ):
        api.register_blueprint(routes)


def _work_routes(context: Context) -> Iterable[Blueprint]:
    """What waits, what is done when, what was given up, and which processes do it."""
    yield queue_routes(context)
    yield schedule_routes(context)
    yield dead_letter_routes(context)
    yield healing_routes(context)
    yield worker_routes(context)


def _identity_routes(context: Context, rates: RateLimiter, recorder: ActionRecorder) -> Iterable[Blueprint]:
    """Who may log in, who did, and what they did."""
    yield session_routes(context, rates, recorder)
    yield login_routes(context, rates, recorder)
    yield api_key_routes(context)
    yield operator_routes(context)
    yield operator_session_routes(context)
    yield action_routes(context)
