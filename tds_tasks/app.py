"""The Celery application and its processes' start: settings, logs, and one database engine a process."""

import os
import sys
from typing import Any

from celery import Celery, signals

from tds_core.config import load_settings
from tds_core.logging import configure_logging
from tds_core.tracing import start_tracing, stop_tracing

app = Celery(
    "tds",
    include=[
        "tds_tasks.sync",
        "tds_tasks.runs",
        "tds_tasks.timetable",
        "tds_tasks.canary",
        "tds_tasks.listening",
        "tds_tasks.scraped",
        "tds_tasks.outbound",
    ],
)
app.config_from_object("celeryconfig")


# A run fetches, reads and writes its pages in three threads; with Python's usual 5 ms each would wait that long for the
# others at every answer of the database.
THREAD_SWITCH_SECONDS = 0.002


@signals.worker_process_init.connect
def tune_process(**_: Any) -> None:
    """Settle how this worker process shares itself between its threads."""
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    start_tracing(load_settings(), process=os.environ.get("TDS_PROCESS") or "worker")


@signals.worker_process_shutdown.connect
def end_process(**_: Any) -> None:
    """Send the last spans."""
    stop_tracing()


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Keep Celery from its own logging: ours knows redaction and correlation."""
    configure_logging(load_settings(), process="worker")
