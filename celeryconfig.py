"""Celery's configuration by the name Celery looks for; it stands in `tds_tasks.celeryconfig`, which is installed."""

from tds_tasks.celeryconfig import *  # noqa: F403
