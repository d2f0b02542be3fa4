"""Nudges: messages that say "go and look". Losing every one of them costs seconds: the dispatcher looks too."""

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from tds_core import metrics
from tds_tasks.app import app

# A nudge older than this is worthless: whoever was to be woken has been woken by another.
EXPIRES_SECONDS = 30

#: What a nudge raises when Redis does not take it.
FAILURES = (OperationalError, RedisError, OSError)


def publish_fast() -> None:
    """Short timeouts for a process that only publishes; called once, before its first nudge."""
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "socket_timeout": 1,
        "socket_connect_timeout": 1,
        # Without these a refused connection is tried again for six seconds, whatever `retry` says.
        "max_retries": 0,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
    }


def nudge(entity: str, *, count: int = 1) -> None:
    """Wake `count` workers for `entity`. Raises one of FAILURES when Redis is away."""
    for _ in range(count):
        _send(f"tds.sync.{entity}")


def nudge_run(run_id: int) -> None:
    """Wake a worker for a run. Raises like `nudge`."""
    _send("tds.run.advance", run_id)


def _send(task: str, *args: int) -> None:
    try:
        app.send_task(task, args=args, expires=EXPIRES_SECONDS, retry=False, ignore_result=True)
    except FAILURES:
        metrics.nudges.labels("failed").inc()
        raise
    metrics.nudges.labels("sent").inc()
