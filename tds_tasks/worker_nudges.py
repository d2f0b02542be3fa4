"""Nudges: Celery messages that make a worker look for due work. Losing one only delays work by seconds."""

from collections.abc import Collection, Mapping

from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from kombu.transport.pyamqp import Transport as RabbitMQ
from redis.exceptions import RedisError

from tds_core.config.settings import load_settings
from tds_core.observability import metrics
from tds_tasks import celeryconfig
from tds_tasks.app import app
from tds_tasks.broker import broker_of

# An older nudge is worthless: a later one has woken the workers.
EXPIRES_SECONDS = 30

BROKER = broker_of(load_settings().broker_url)

#: The queues every worker consumes, unless it is configured otherwise.
SHARED = {
    queue.name: Queue(
        queue.name, exchange=Exchange(""), routing_key=queue.name, queue_arguments=dict(BROKER.queue_arguments)
    )
    for queue in celeryconfig.task_queues
}
#: A queue of one worker alone is dropped by the broker once nobody used it for so long.
EAR_SECONDS = 600

# Where messages go in place of a queue nobody consumes, the likeliest to have room first.
DETOURS = ("tds.normal", "tds.low", "tds.high", "tds.bulk", "tds.upkeep")
_detours: Mapping[str, str] = {}

#: What a nudge raises when the broker does not take it.
FAILURES = (OperationalError, RedisError, OSError, *RabbitMQ.connection_errors, *RabbitMQ.channel_errors)


def publish_fast() -> None:
    """Short timeouts for a process that only publishes; called once, before its first nudge."""
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, **BROKER.publisher_options}


def nudge(entity: str, *, count: int = 1) -> None:
    """Wake `count` workers for `entity`. Raises one of FAILURES when Redis is away."""
    for _ in range(count):
        _send(f"tds.sync.{entity}")


def nudge_run(run_id: int) -> None:
    """Wake a worker for a run. Raises like `nudge`."""
    _send("tds.run.advance", run_id)


def detour(unheard: Collection[str]) -> str | None:
    """Send what belongs on queues nobody consumes to one that is heard: any worker does any work. Returns which."""
    global _detours  # noqa: PLW0603  (replaced as a whole, so that other threads see one or the other)
    instead = next((queue for queue in DETOURS if queue not in unheard), None)
    _detours = dict.fromkeys(unheard, instead) if instead else {}
    return instead


def nudge_outbound() -> None:
    """Wake a worker for outbound events. Raises like `nudge`."""
    _send("tds.outbound.deliver")


def nudge_validation() -> None:
    """Wake a worker for validation reports. Raises like `nudge`."""
    _send("tds.validation.advance")


def private_queue(name: str) -> Queue:
    """The queue that one worker alone consumes; it vanishes some time after it."""
    return Queue(name, exchange=Exchange(""), routing_key=name, expires=EAR_SECONDS)


def put_canary(queue: str, nonce: str, *, expires_seconds: float) -> None:
    """Put a canary on a queue, to be gone before the next one comes. Raises like `nudge`."""
    # A worker's own queue vanishes with it; those all share stay as they are declared.
    where = SHARED[queue] if queue in SHARED else private_queue(queue)
    app.send_task(
        "tds.canary",
        args=(queue, nonce),
        queue=where,
        expires=expires_seconds,
        retry=False,
        ignore_result=True,
    )


def _send(task: str, *args: int) -> None:
    usual = celeryconfig.task_routes[task]["queue"]
    queue = _detours.get(usual, usual)
    try:
        app.send_task(task, args=args, queue=queue, expires=EXPIRES_SECONDS, retry=False, ignore_result=True)
    except FAILURES:
        metrics.nudges.labels("failed").inc()
        raise
    metrics.nudges.labels("sent").inc()
