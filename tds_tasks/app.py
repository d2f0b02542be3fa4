"""The Celery application and its processes' start: settings, logs, and one database engine a process."""

from typing import Any

from celery import Celery, signals

from tds_core.config import load_settings
from tds_core.logging import configure_logging

app = Celery("tds", include=["tds_tasks.sync", "tds_tasks.runs", "tds_tasks.timetable"])
app.config_from_object("celeryconfig")


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Keep Celery from its own logging: ours knows redaction and correlation."""
    configure_logging(load_settings(), process="worker")
