"""Flower as `tds up` runs it: every address behind the login, its figures and its health too."""

import sys

from celery.__main__ import main
from flower.views.monitor import Healthcheck, Metrics
from tornado.web import authenticated


def protect() -> None:
    """Ask for the login where Flower itself asks for none."""
    for view in (Metrics, Healthcheck):
        view.get = authenticated(view.get)


if __name__ == "__main__":
    protect()
    sys.argv[:] = ["celery", "-A", "tds_tasks.app", "flower", *sys.argv[1:]]
    sys.exit(main())
