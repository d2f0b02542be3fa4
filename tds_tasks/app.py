"""The Celery application and its processes' start: settings, logs, and one database engine a process.

Beat's sense of time: it ticks on when the broker is away, and says so once.
"""

import gc
import os
import sys
from typing import Any

from celery import Celery, signals
from celery.beat import PersistentScheduler, SchedulingError

from tds_core.config.settings import load_settings
from tds_core.configuration.refresh import follow_configuration
from tds_core.observability.heartbeat_files import touch_heartbeat
from tds_core.observability.logging import configure_logging
from tds_core.observability.outages import broker
from tds_core.observability.tracing import start_tracing, stop_tracing
from tds_tasks import context

app = Celery(
    "tds",
    include=[
        "tds_tasks.work_batches",
        "tds_tasks.runs",
        "tds_tasks.schedule",
        "tds_tasks.healing_loop",
        "tds_tasks.worker.status_reporter",
        "tds_tasks.worker.metrics_server",
        "tds_tasks.subscriptions",
        "tds_tasks.validation",
    ],
)
app.config_from_object("tds_tasks.celeryconfig")


# A run fetches, reads and writes its pages in three threads; with Python's usual 5 ms each would wait that long for the
# others at every answer of the database.
THREAD_SWITCH_SECONDS = 0.0005


@signals.worker_init.connect
def freeze_imports(**_: Any) -> None:
    """Take what is imported out of garbage collection: children then share its memory and never look through it."""
    gc.collect()
    gc.freeze()


@signals.worker_process_init.connect
def tune_process(**_: Any) -> None:
    """Settle how this worker process shares itself between its threads."""
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    start_tracing(load_settings(), process=os.environ.get("TDS_PROCESS") or "worker")
    if context.settings().database_url:
        follow_configuration(context.scope)


@signals.worker_process_shutdown.connect
def end_process(**_: Any) -> None:
    """Send the last spans."""
    stop_tracing()


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    """Keep Celery from its own logging: ours knows redaction and correlation."""
    configure_logging(load_settings(), process="worker")


def _touch() -> None:
    touch_heartbeat(context.settings().home, "beat")


class ReconnectingScheduler(PersistentScheduler):
    """Celery's scheduler, which would begin_outage with a traceback of every tick it cannot send."""

    def tick(self, *given: Any, **named: Any) -> Any:
        """Go round once, and show it."""
        _touch()
        return super().tick(*given, **named)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send what is due. A tick that cannot be sent is not missed: the next one looks for all that is due."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            broker.begin(error=type(error.__context__).__name__)
        else:
            broker.end()

    def _ensure_connected(self) -> Any:
        def begin_outage(error: Exception, _pause: float) -> None:
            _touch()
            broker.begin(error=type(error).__name__)

        return self.connection.ensure_connection(begin_outage, self.app.conf.broker_connection_max_retries)
