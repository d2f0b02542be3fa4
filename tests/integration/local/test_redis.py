"""The embedded Redis: password, no eviction, back after being killed."""

import os
import signal
import time
from pathlib import Path

import pytest
import redis

from tds_core.errors import AlreadyRunningError
from tds_local.embedded import EmbeddedRedis


def test_what_was_written_is_there_after_a_restart_at_the_same_address(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as first:
        address = first.url
        redis.Redis.from_url(address).set("kept", 42)
    with EmbeddedRedis(tmp_path) as second:
        assert second.url == address
        assert redis.Redis.from_url(address).get("kept") == b"42"


def test_it_never_evicts_and_keeps_an_append_only_file(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        client = redis.Redis.from_url(server.url, decode_responses=True)
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        without = "redis://" + server.url.rpartition("@")[2]
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(without).ping()


def test_its_files_are_for_its_owner_only(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path):
        assert (tmp_path / "redis").stat().st_mode & 0o077 == 0
        assert (tmp_path / "secrets.json").stat().st_mode & 0o077 == 0


def test_a_second_one_in_the_same_home_is_refused(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path), pytest.raises(AlreadyRunningError):
        EmbeddedRedis(tmp_path).start()


def test_a_killed_server_comes_back_at_the_same_address(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        address = server.url
        os.kill(server.pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not server.keep_running() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.url == address
        assert redis.Redis.from_url(address).ping()
