"""PostgreSQL restarted, Redis stopped, read-only or full: every process goes on by itself, and its log says so once."""

import contextlib
import json
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from sqlalchemy import text

from tds_core.config.settings import Settings, load_settings
from tds_lab.testbed import free_port
from tds_local.programs import programs_of
from tds_local.stack import Stack, running_stack
from tds_local.supervisor import Program
from tds_models.db import make_engine, session_scope
from tests.acceptance.workers import wait_for
from tests.support.webhook_sender import SECRET, item, signature

pytestmark = pytest.mark.acceptance

AWAY_SECONDS = 4.0
#: An outage lasts until all have noticed it: Beat needs Redis only when a slot is due.
NOTICED_SECONDS = 60.0
#: Who needs what: a process tells of it once it has noticed.
OF_POSTGRES = {"api", "dispatcher", "worker-1"}
OF_REDIS = {"beat", "worker-1"}
OF_ROOM_IN_REDIS = {"beat"}


class Sender(threading.Thread):
    """Sends a new record five times a second, each until it is taken."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address, self._ending = address, threading.Event()
        self.taken_count = 0

    def run(self) -> None:
        while not self._ending.wait(0.2):
            body = json.dumps({"item": item(f"46{self.taken_count:06d}")}).encode()
            headers = {"X-Zoho-Webhook-Signature": signature(body), "Content-Type": "application/json"}
            try:
                answer = requests.post(self._address, data=body, headers=headers, timeout=8)
            except requests.RequestException:
                continue
            self.taken_count += answer.status_code in (200, 202)

    def stop(self) -> None:
        self._ending.set()
        self.join()


def without_flower(settings: Settings) -> Iterator[Program]:
    return (program for program in programs_of(settings) if program.name != "flower")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    home = Path(tempfile.mkdtemp(prefix="tds-told-"))
    home.chmod(0o755)
    params = {
        "TDS_HOME": str(home), "TDS_PORT": str(free_port()), "TDS_FLOWER_PORT": str(free_port()),
        "TDS_LOG_FORMAT": "json", "TDS_WORKERS": "1", "TDS_WORKER_CONCURRENCY": "1", "ZOHO_WEBHOOK_SECRET": SECRET,
    }  # fmt: skip
    with running_stack(load_settings(params), programs=without_flower) as stack:
        yield stack
    shutil.rmtree(home)


@pytest.fixture
def sender(stack: Stack) -> Iterator[Sender]:
    sender = Sender(stack.urls["webhooks"] + "/product/updated")
    sender.start()
    assert wait_for(lambda: sender.taken_count > 0, 60)
    assert brings_over(stack, sender)
    yield sender
    sender.stop()


def brings_over(stack: Stack, sender: Sender) -> bool:
    """Whether all that was taken until now comes into the mirror."""
    wanted, engine = sender.taken_count, make_engine(stack.settings.database_url)

    def is_there() -> bool:
        with session_scope(engine) as session:
            return bool(session.execute(text("select count(*) from erp.product")).scalar_one() >= wanted)

    try:
        return wait_for(is_there, 90)
    finally:
        engine.dispose()


def logged(stack: Stack, since: dict[str, int]) -> list[dict[str, Any]]:
    """What all logs say since then, line by line."""
    lines = []
    for path in sorted((stack.settings.home / "logs").glob("*.log")):
        for line in path.read_bytes()[since.get(path.name, 0) :].decode().splitlines():
            if line.startswith("{"):
                lines.append({**json.loads(line), "log": path.stem})
    return lines


def marks(stack: Stack) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (stack.settings.home / "logs").glob("*.log")}


def logged_by(lines: list[dict[str, Any]], event: str) -> Counter[tuple[str, int]]:
    return Counter((line["log"], line["pid"]) for line in lines if line["event"] == event)


def assert_logged_once(stack: Stack, since: dict[str, int], what: str, who: set[str]) -> None:
    """All of `who` say that it is back; nobody says anything of it twice, nor anything else again and again."""

    def lost_and_back() -> tuple[Counter[tuple[str, int]], Counter[tuple[str, int]]]:
        return logged_by(logged(stack, since), f"{what}_lost"), logged_by(logged(stack, since), f"{what}_back")

    def is_over() -> bool:
        lost, back = lost_and_back()
        # One server of the API may get no request in so short an outage, and then notices nothing.
        return {log.removesuffix("-2") for log, _ in back} >= who and lost == back

    assert wait_for(is_over, 40), lost_and_back()
    time.sleep(1)
    lost, back = lost_and_back()
    assert lost == back
    assert set(lost.values()) == {1}
    lines = logged(stack, since)
    loud = Counter(
        (line["log"], line.get("pid"), line["event"])
        for line in lines
        if line["level"] in ("warning", "error", "critical") and not line["event"].endswith("_lost")
    )
    # A breaker opens again with every trial that fails while the outage lasts.
    assert {key: count for key, count in loud.items() if count > (4 if key[2] == "breaker_changed" else 2)} == {}


@contextlib.contextmanager
def outage(stack: Stack, since: dict[str, int], what: str, who: set[str]) -> Iterator[None]:
    """Holds what is hurt within it until all of `who` have said that it is lost."""
    yield
    time.sleep(AWAY_SECONDS)

    def is_noticed() -> bool:
        return {log.removesuffix("-2") for log, _ in logged_by(logged(stack, since), f"{what}_lost")} >= who

    assert wait_for(is_noticed, NOTICED_SECONDS), logged_by(logged(stack, since), f"{what}_lost")


def test_a_restart_of_postgresql(stack: Stack, sender: Sender) -> None:
    since, server = marks(stack), stack.servers["PostgreSQL"]
    try:
        with outage(stack, since, "database", OF_POSTGRES):
            server.stop()
    finally:
        server.start()
    assert_logged_once(stack, since, "database", OF_POSTGRES)
    assert brings_over(stack, sender)


def command(*words: str) -> Callable[[Stack], None]:
    """A command to Redis."""

    def send(stack: Stack) -> None:
        client: Any = redis.Redis.from_url(stack.settings.redis_url)
        client.execute_command(*words)
        client.close()

    return send


STOPPED = (lambda stack: stack.servers["Redis"].stop(), lambda stack: stack.servers["Redis"].start())
READ_ONLY = (command("replicaof", "127.0.0.1", "1"), command("replicaof", "no", "one"))
FULL = (command("config", "set", "maxmemory", "1"), command("config", "set", "maxmemory", "256mb"))


@pytest.mark.parametrize(
    ("hurt", "mend", "who"),
    [(*STOPPED, OF_REDIS), (*READ_ONLY, OF_REDIS), (*FULL, OF_ROOM_IN_REDIS)],
    ids=["stopped", "read-only", "full"],
)
def test_a_redis_that_is(
    stack: Stack, sender: Sender, hurt: Callable[[Stack], None], mend: Callable[[Stack], None], who: set[str]
) -> None:
    since = marks(stack)
    try:
        with outage(stack, since, "broker", who):
            hurt(stack)
    finally:
        mend(stack)
    assert_logged_once(stack, since, "broker", who)
    assert brings_over(stack, sender)
