"""The broker: what Celery needs to know of Redis, Redis behind Sentinels, or RabbitMQ, by the address it is given."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tds_core.sentinel_addresses import is_sentinel, parse_sentinel

#: A nudge nobody took for so long is worthless; RabbitMQ drops it, Celery's workers do with Redis.
NUDGE_MILLISECONDS = 60_000

# Without these a frozen or half-open Redis hangs a worker, or a publisher, for ever.
_REDIS: Mapping[str, Any] = {
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": False,
    "visibility_timeout": 600,
    "priority_steps": [0],
    # In turn: in a fixed order a queue that never runs dry would starve those behind it.
    "queue_order_strategy": "round_robin",
    "global_keyprefix": "tds:",
}
# A publisher does not wait for the word of a quorum: a nudge may be lost.
_RABBITMQ: Mapping[str, Any] = {"confirm_publish": False, "read_timeout": 20, "write_timeout": 5}

# Without these a refused connection is tried again for six seconds, whatever `retry` says.
_AT_ONCE: Mapping[str, Any] = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Celery's settings for one kind of broker. `queue_arguments`: of the queues all workers share."""

    url: str
    transport_options: Mapping[str, Any]
    publisher_options: Mapping[str, Any]
    queue_arguments: Mapping[str, Any] = field(default_factory=dict)


def broker_of(url: str) -> Broker:
    """The broker at `url`. Raises `ValueError` for a malformed address of Sentinels."""
    if url.startswith(("amqp://", "amqps://", "pyamqp://")):
        return Broker(
            url=url,
            transport_options=_RABBITMQ,
            publisher_options={**_AT_ONCE, "read_timeout": 1, "write_timeout": 1},
            queue_arguments={"x-queue-type": "quorum", "x-message-ttl": NUDGE_MILLISECONDS},
        )
    brief = {**_AT_ONCE, "socket_timeout": 1, "socket_connect_timeout": 1}
    if not is_sentinel(url):
        return Broker(url=url, transport_options=_REDIS, publisher_options=brief)
    address = parse_sentinel(url)
    of_sentinels = {"socket_timeout": 1, "socket_connect_timeout": 1, "password": address.sentinel_password}
    named = {"master_name": address.master_name, "sentinel_kwargs": of_sentinels}
    return Broker(url=address.urls, transport_options={**_REDIS, **named}, publisher_options=brief)
