"""What Celery is told of each kind of broker."""

import pytest

from tds_tasks.broker import broker_of


def test_redis_gets_timeouts_and_its_own_prefix() -> None:
    broker = broker_of("redis://:x@here:6379/0")
    assert broker.url == "redis://:x@here:6379/0"
    assert (broker.transport_options["socket_timeout"], broker.transport_options["global_keyprefix"]) == (5, "tds:")
    assert broker.queue_arguments == {}


def test_sentinels_are_told_to_celery_one_by_one_with_the_master_and_their_own_password() -> None:
    broker = broker_of("sentinel://:x@one:26379,two:26379/1?master=main&sentinel_password=y")
    assert broker.url == "sentinel://:x@one:26379/1;sentinel://:x@two:26379/1"
    assert broker.transport_options["master_name"] == "main"
    assert broker.transport_options["sentinel_kwargs"]["password"] == "y"
    assert broker.transport_options["global_keyprefix"] == "tds:"


@pytest.mark.parametrize("url", ["amqp://u:p@one:5672/tds;amqp://u:p@two:5672/tds", "amqps://u:p@one/tds"])
def test_rabbitmq_gets_quorum_queues_whose_messages_end_and_no_option_of_redis(url: str) -> None:
    broker = broker_of(url)
    assert broker.url == url
    assert broker.queue_arguments == {"x-queue-type": "quorum", "x-message-ttl": 60_000}
    assert not {"socket_timeout", "global_keyprefix"} & {*broker.transport_options, *broker.publisher_options}


@pytest.mark.parametrize("url", ["redis://here/0", "amqp://here/tds", "sentinel://here/0?master=main"])
def test_a_publisher_tries_once_and_waits_a_second(url: str) -> None:
    options = broker_of(url).publisher_options
    assert options["max_retries"] == 0
    assert {value for name, value in options.items() if "timeout" in name} == {1}
