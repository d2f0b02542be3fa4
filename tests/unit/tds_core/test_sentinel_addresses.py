"""One address names Sentinels, master, database and passwords, for Celery and for TDS's own clients."""

import pytest
from redis.exceptions import ConnectionError as RedisAway

from tds_core.config.settings import load_settings
from tds_core.errors import ConfigError
from tds_core.redis_client import redis_client
from tds_core.sentinel_addresses import SentinelAddress, parse_sentinel


def test_an_address_says_everything() -> None:
    found = parse_sentinel("sentinel://tds:p%40ss@one:26379,two,10.0.0.3:5/2?master=main&sentinel_password=other")
    assert found == SentinelAddress(
        hosts=(("one", 26379), ("two", 26379), ("10.0.0.3", 5)),
        master_name="main",
        database=2,
        username="tds",
        password="p@ss",
        sentinel_password="other",
    )
    assert found.urls == (
        "sentinel://tds:p%40ss@one:26379/2;sentinel://tds:p%40ss@two:26379/2;sentinel://tds:p%40ss@10.0.0.3:5/2"
    )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sentinel://one:26379/0", "master=NAME"),
        ("sentinel:///0?master=main", "master=NAME"),
        ("sentinel://one:x/0?master=main", "host:port"),
        ("sentinel://one/0?master=main&masters=2", "no masters"),
    ],
)
def test_an_address_that_lacks_something_says_how_it_looks(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_sentinel(url)


def test_settings_take_it_for_redis_and_for_the_broker_and_refuse_one_without_a_master() -> None:
    url = "sentinel://:secret@one:26379,two:26379/0?master=main"
    settings = load_settings({"TDS_REDIS_URL": url})
    assert (settings.redis_url, settings.broker_url) == (url, url)
    assert "secret" not in settings.shown("TDS_REDIS_URL")
    with pytest.raises(ConfigError, match="TDS_BROKER_URL"):
        load_settings({"TDS_BROKER_URL": "sentinel://one:26379/0"})


def test_a_client_asks_the_sentinels_when_it_connects_and_not_before() -> None:
    client = redis_client("sentinel://127.0.0.1:1/0?master=main", timeout_seconds=0.2)
    with pytest.raises(RedisAway):
        client.ping()
