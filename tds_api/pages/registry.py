"""All pages, registered on the application; and the address of the host itself, which leads to the first of them."""

from flask import Blueprint, Flask, Response, make_response, redirect
from sqlalchemy import event

from tds_api.auth.permissions import ANYBODY, needs
from tds_api.pages.alert_channels import alert_channel_pages
from tds_api.pages.alert_rules import alert_rule_pages
from tds_api.pages.alert_silences import alert_silence_pages
from tds_api.pages.alerts import alert_pages
from tds_api.pages.audit import audit_pages
from tds_api.pages.breakers import breaker_pages
from tds_api.pages.common.actions import HOME, action_routes
from tds_api.pages.common.answer_cache import AnswerCache
from tds_api.pages.common.api_client import limit_statements
from tds_api.pages.common.layout import install_layout, layout_routes
from tds_api.pages.comparison import comparison_pages
from tds_api.pages.configuration import configuration_pages
from tds_api.pages.dead_letters import dead_letter_pages
from tds_api.pages.entities import entity_pages
from tds_api.pages.event_replays import event_replay_pages
from tds_api.pages.find import find_pages
from tds_api.pages.healing import healing_pages
from tds_api.pages.migration import migration_pages
from tds_api.pages.operators import operator_pages
from tds_api.pages.overview import overview_pages
from tds_api.pages.queue import queue_pages
from tds_api.pages.quota import quota_pages
from tds_api.pages.records import record_pages
from tds_api.pages.runs import run_pages
from tds_api.pages.schedules import schedule_pages
from tds_api.pages.set_up import set_up_pages
from tds_api.pages.statistics import statistics_pages
from tds_api.pages.subscriptions import subscription_pages
from tds_api.pages.validation import validation_pages
from tds_api.pages.webhooks import webhook_pages
from tds_api.process_context import Context


def install_pages(app: Flask, context: Context) -> None:
    """Register the pages of the dashboard on `app`."""
    install_layout(app, context)
    app.extensions["tds_page_answers"] = AnswerCache()
    for engine in (context.engine, context.reads.replica):
        if engine is not None:
            event.listen(engine, "begin", limit_statements)
    for routes in (
        _host_route(),
        layout_routes(),
        action_routes(context),
        overview_pages(),
        entity_pages(),
        record_pages(),
        find_pages(),
        comparison_pages(),
        migration_pages(),
        validation_pages(),
        statistics_pages(),
        run_pages(),
        dead_letter_pages(),
        alert_pages(context),
        alert_rule_pages(),
        alert_silence_pages(context),
        alert_channel_pages(),
        quota_pages(),
        breaker_pages(),
        queue_pages(),
        webhook_pages(),
        event_replay_pages(),
        operator_pages(),
        configuration_pages(),
        schedule_pages(),
        healing_pages(),
        subscription_pages(),
        set_up_pages(),
        audit_pages(),
    ):
        app.register_blueprint(routes)


def _host_route() -> Blueprint:
    routes = Blueprint("host", __name__)

    @routes.get("/")
    @needs(ANYBODY)
    def lead() -> Response:
        """The host alone leads to the dashboard."""
        return make_response(redirect(HOME, 303))

    return routes
