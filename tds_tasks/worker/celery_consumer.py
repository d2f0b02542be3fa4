"""The consumer of a worker: it reconnects within seconds of an outage of Redis, and shows that its main loop runs."""

import logging
import time
from contextlib import suppress
from functools import partial
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.consumer.consumer import CONNECTION_RETRY

from tds_core.observability.heartbeat_files import touch_heartbeat
from tds_core.observability.outages import broker
from tds_tasks import context

# Kombu waits two seconds longer after every failure, up to 30 s. Redis could be back for as long, unnoticed.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 2.0
# Events wait so long for others to share their message, which costs as much as any.
EVENTS_SECONDS = 0.5
# How often the main loop shows that it runs.
ROUND_SECONDS = 2.0


def _is_news(record: logging.LogRecord) -> bool:
    """Drop the records by which Celery logs every lost connection; the outage is logged once."""
    return CONNECTION_RETRY not in (record.args or ())


def _touch() -> None:
    touch_heartbeat(context.settings().home, "worker")


# It declares 28 queues in RabbitMQ for messages sent ahead of their time; TDS sends none.
_DELAYED = "celery.worker.consumer.delayed_delivery:DelayedDelivery"


class ReconnectingConsumer(Consumer):
    """Celery's consumer with short pauses between attempts to connect. `looped`: when its main loop last ran."""

    class Blueprint(Consumer.Blueprint):
        """Celery's steps of a consumer, without delayed delivery."""

        default_steps = tuple(step for step in Consumer.Blueprint.default_steps if step != _DELAYED)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.looped = time.monotonic()
        self._round: Any = None
        self._flush: Any = None
        self._ready_at = 0.0
        logging.getLogger("celery.worker.consumer.consumer").addFilter(_is_news)

    def on_ready(self) -> None:
        """Start to consume; called at the start and after every lost connection."""
        if self._round is not None:
            self._round.cancel()
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        self._ready_at = time.monotonic()
        self._round = self.timer.call_repeatedly(ROUND_SECONDS, self._go_round)
        self._go_round()
        super().on_ready()

    def _go_round(self) -> None:
        self.looped = time.monotonic()
        _touch()
        # A Redis that refuses writes accepts a connection and then drops it.
        if self.looped - self._ready_at >= ROUND_SECONDS / 2:
            broker.end()

    def on_send_event_buffered(self) -> None:
        """Send the event with those that follow it in a moment: Flower does not need it at once."""
        if self._flush is None:
            self._flush = self.timer.call_after(EVENTS_SECONDS, self._send_events)

    def _send_events(self) -> None:
        self._flush = None
        self._flush_events()

    def shutdown(self) -> None:
        """Stop, once the events of the last tasks are sent."""
        self._flush_events()
        super().shutdown()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Drop the connection. After a refused command the consumer pauses, as Redis would accept it again at once."""
        broker.begin(error=type(exc).__name__, says=str(exc)[:200])
        self._flush_events()  # it fails, and so keeps them for the next connection
        # Kombu fails on its own half-closed connection when it puts back messages that were fetched ahead. The work
        # they announced is in PostgreSQL, and will be announced again.
        with suppress(AttributeError):
            super().on_connection_error_after_connected(exc)
        if isinstance(exc, self.channel_errors):
            time.sleep(LONGEST_PAUSE_SECONDS)

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Pause after a failed attempt to connect; without a pause the next one would follow at once."""
        _touch()
        broker.begin(error=type(exc).__name__, says=str(exc)[:200])
        time.sleep(LONGEST_PAUSE_SECONDS)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, and repeat failed attempts without end."""
        ensure = conn.ensure_connection

        def begin_outage(error: Exception, _pause: float) -> None:
            _touch()
            broker.begin(error=type(error).__name__)

        def ensure_and_log(_errback: Any, *given: Any, **named: Any) -> Any:
            """Connect, and report the outage instead of every failed attempt, which Celery would log."""
            return ensure(begin_outage, *given, **named)

        conn.ensure_connection = partial(
            ensure_and_log,
            interval_start=FIRST_PAUSE_SECONDS,
            interval_step=FIRST_PAUSE_SECONDS,
            interval_max=LONGEST_PAUSE_SECONDS,
        )
        return super().ensure_connected(conn)
