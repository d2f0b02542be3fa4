"""Flower as `tds up` runs it: every address needs the login, its metrics and health check too."""

import sys

from celery.__main__ import main
from flower.views.monitor import Healthcheck, Metrics
from tornado.web import authenticated


def protect() -> None:
    """Require the login where Flower itself requires none."""
    for view in (Metrics, Healthcheck):
        view.get = authenticated(view.get)


if __name__ == "__main__":
    protect()
    sys.argv[:] = ["celery", "-A", "tds_tasks.app", "flower", *sys.argv[1:]]
    sys.exit(main())
