"""The cache promises: one question for many who look, nothing kept for ever, and no error when Redis is away."""

import threading
from datetime import UTC, datetime

import fakeredis
import pytest
import redis

from tds_core.errors import TransientError
from tds_core.sources.response_cache import CachedResponse, ResponseCache
from tds_models.entities import ENTITIES

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
PRODUCT = ENTITIES["product"]


class Asked:
    """A source that counts how often it was asked."""

    def __init__(self, record: bytes | None = b'{"item_id": "1"}') -> None:
        self.record, self.count = record, 0

    def __call__(self) -> CachedResponse:
        self.count += 1
        return CachedResponse(self.record, NOON)


@pytest.fixture
def client() -> redis.Redis:
    return fakeredis.FakeRedis(server=fakeredis.FakeServer())


def look(cache: ResponseCache, asked: Asked, *, is_current: bool = True, entity: str = "product") -> CachedResponse:
    return cache.get(ENTITIES[entity], "1", ask=asked, is_current=lambda at: is_current and at == NOON)


@pytest.mark.parametrize("record", [b'{"item_id": "1"}', None])
def test_a_second_look_is_answered_from_the_cache(client: redis.Redis, record: bytes | None) -> None:
    asked = Asked(record)
    assert not look(ResponseCache(client), asked).is_cached
    second = look(ResponseCache(client), asked)
    assert (second.record, second.asked_at, second.is_cached, asked.count) == (record, NOON, True, 1)
    assert ResponseCache(client).counts() == {"cached": 1, "asked": 1}


def test_an_answer_that_is_not_current_any_more_is_asked_for_again(client: redis.Redis) -> None:
    asked = Asked()
    look(ResponseCache(client), asked)
    assert not look(ResponseCache(client), asked, is_current=False).is_cached
    assert asked.count == 2


@pytest.mark.parametrize(
    ("entity", "minutes"), [("product", 5), ("customer", 10), ("stock_level", 1), ("price_list", 30)]
)
def test_every_key_ends_and_each_entity_has_its_time(client: redis.Redis, entity: str, minutes: int) -> None:
    look(ResponseCache(client), Asked(), entity=entity)
    [key] = client.keys("tds:answer:*")
    assert client.ttl(key) == minutes * 60


def test_a_refusal_is_raised_and_not_kept(client: redis.Redis) -> None:
    def refuse() -> CachedResponse:
        raise TransientError("HTTP 502")

    with pytest.raises(TransientError):
        ResponseCache(client).get(PRODUCT, "1", ask=refuse, is_current=lambda _: True)
    assert not look(ResponseCache(client), Asked()).is_cached


def test_of_many_who_look_at_once_one_asks(client: redis.Redis) -> None:
    is_asking, may_answer = threading.Event(), threading.Event()

    class Slow(Asked):
        def __call__(self) -> CachedResponse:
            is_asking.set()
            assert may_answer.wait(5)
            return super().__call__()

    asked, found = Slow(), []
    threads = [
        threading.Thread(target=lambda: found.append(look(ResponseCache(client), asked)), daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    assert is_asking.wait(5)
    may_answer.set()
    for thread in threads:
        thread.join(5)
    assert (asked.count, len(found)) == (1, 8)


class Away(fakeredis.FakeRedis):
    def execute_command(self, *args, **options):
        raise redis.ConnectionError("refused")


@pytest.mark.parametrize("client", [None, Away(server=fakeredis.FakeServer())])
def test_without_redis_everybody_asks(client: redis.Redis | None) -> None:
    asked = Asked()
    for _ in range(2):
        assert not look(ResponseCache(client), asked).is_cached
    assert asked.count == 2
    assert ResponseCache(client).counts() is None
