"""The application: routes put together around one edge."""

from collections.abc import Callable

import structlog
from flask import Flask

from tds_api.correlation import install_correlation
from tds_api.edge import make_edge
from tds_api.errors import install_errors
from tds_api.webhooks import webhook_routes
from tds_core.config import Settings

log = structlog.get_logger(__name__)


def create_app(settings: Settings, *, nudge: Callable[[str], None]) -> Flask:
    """The WSGI application. `nudge(entity)` tells the workers of an entity to look; it may be slow and may fail."""
    app = Flask("tds_api")
    app.url_map.strict_slashes = False
    edge = make_edge(settings, nudge=nudge)
    app.extensions["tds"] = edge
    install_correlation(app)
    install_errors(app)
    app.register_blueprint(webhook_routes(edge))
    if settings.unsigned_webhooks:
        log.warning("unsigned_webhooks_are_taken", mend="unset TDS_UNSIGNED_WEBHOOKS")
    elif not settings.zoho_webhook_secret:
        log.warning("no_webhook_is_believed", mend="set ZOHO_WEBHOOK_SECRET")
    return app
