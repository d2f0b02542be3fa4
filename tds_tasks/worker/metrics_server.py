"""The metrics server of a process without an HTTP server: a port for Prometheus, where no directory is shared."""

from typing import Any

import structlog
from celery import signals
from prometheus_client import start_http_server

from tds_core.config.settings import Settings, load_settings
from tds_core.observability.multiprocess_collector import scraped_registry

log = structlog.get_logger(__name__)


def serve_metrics(settings: Settings) -> Any:
    """Serve /metrics at TDS_METRICS_PORT from a thread, if it is set. Returns the server.

    A port that is in use is logged, and the process goes on without a server.
    """
    if not settings.metrics_port:
        return None
    try:
        server, _ = start_http_server(settings.metrics_port, settings.metrics_host, registry=scraped_registry())
    except OSError as error:
        log.error("metrics_not_served", port=settings.metrics_port, error=str(error))
        return None
    return server


@signals.worker_ready.connect
def answer_for_worker(**_: Any) -> None:
    """Serve the metrics of a worker and its children once the worker is ready."""
    serve_metrics(load_settings())
