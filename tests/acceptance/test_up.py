"""`tds up` with everything real: it answers, heals itself and leaves nothing behind."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tds_core.schema.migrations import newest_revision
from tds_local.embedded.readiness import is_free
from tests.support.webhook_sender import SECRET, signature
from tests.support.world import product

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home that every account may enter."""
    home = Path(tempfile.mkdtemp(prefix="tds-home-"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def stack(home: Path) -> Iterator[dict[str, str]]:
    """What `tds up --json` says once it is ready; stopped by SIGTERM afterwards, when nothing may be left."""
    # Anywhere below the ports that programs are given: another run of these tests may start in this very second.
    free = [port for port in random.sample(range(18_000, 32_000), 50) if is_free(port)][:2]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))},
        "TDS_HOME": str(home), "TDS_PORT": str(free[0]), "TDS_FLOWER_PORT": str(free[1]), "TDS_WORKERS": "1",
        "ZOHO_WEBHOOK_SECRET": SECRET,
    }  # fmt: skip
    command = [sys.executable, "-m", "tds_api.cli", "up", "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("{"), process.stderr.read()
    yield json.loads(line)
    everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert not [each for each in everybody if is_alive(each)]


def test_the_api_answers_and_says_it_is_healthy(stack: dict[str, str]) -> None:
    assert status_of(stack["health"]) == 200


def test_an_unsigned_webhook_is_refused(stack: dict[str, str]) -> None:
    assert status_of(stack["webhooks"] + "/product/updated", body=b'{"item": {"item_id": "1"}}') == 401


def test_flower_tells_what_a_task_did_and_how_much_work_there_is(stack: dict[str, str], home: Path) -> None:
    password = json.loads((home / "secrets.json").read_text())["TDS_FLOWER_PASSWORD"]

    def tasks(name: str) -> list[dict[str, Any]]:
        found = json.loads(read(f"{stack['flower']}api/tasks?taskname={name}", password))
        return sorted(found.values(), key=lambda task: float(task["received"] or 0))

    # Flower knows what happened since it began to listen: it has, once it saw a task.
    assert wait_for(lambda: "'no job was due'" in [task["result"] for task in tasks("tds.timetable.tick")], 60)
    body = json.dumps({"item": product()}).encode()
    headers = {"X-Zoho-Webhook-Signature": signature(body)}
    sent = requests.post(stack["webhooks"] + "/product/updated", data=body, headers=headers, timeout=10)
    sentence = f"'product: 1 applied, 0 retried, 0 dead-lettered, event {sent.json()['event_id']}'"
    assert wait_for(lambda: sentence in [task["result"] for task in tasks("tds.sync.product")])
    assert tasks("tds.canary") == []
    lengths = json.loads(read(stack["flower"] + "api/queues/length", password))["active_queues"]
    by_name = {queue["name"]: queue for queue in lengths}
    assert {"tds.high (nudges)", "tds_sync_queue product"} <= by_name.keys()
    assert "tds_sync_queue product" in read(stack["flower"] + "broker", password)


def test_flower_asks_for_its_login_and_sees_the_worker(stack: dict[str, str], home: Path) -> None:
    for page in ("workers", "metrics", "healthcheck", "api/workers", ""):
        assert status_of(stack["flower"] + page) == 401, page
    password = json.loads((home / "secrets.json").read_text())["TDS_FLOWER_PASSWORD"]
    assert read(stack["flower"] + "healthcheck", password) == "OK"
    assert "flower_" in read(stack["flower"] + "metrics", password)
    assert wait_for(lambda: "worker1@" in read(stack["flower"] + "workers", password))


@pytest.mark.parametrize(
    "needle", ["tds_tasks.app worker", "tds_tasks.dispatcher", "tds_tasks.app beat", "tds_api.server"]
)
def test_a_killed_program_comes_back(stack: dict[str, str], needle: str) -> None:
    killed = leader_of(stack, needle)
    killed.send_signal(signal.SIGKILL)
    assert wait_for(lambda: not is_alive(killed))
    assert wait_for(lambda: leader_of(stack, needle).pid != killed.pid)
    assert wait_for(lambda: status_of(stack["health"]) == 200)


def test_no_sender_is_refused_while_the_api_restarts_or_one_of_its_servers_was_killed(
    stack: dict[str, str], home: Path
) -> None:
    ended = threading.Event()
    outcomes: list[str] = []

    def send() -> None:
        while not ended.wait(0.05):
            try:
                requests.get(stack["health"], timeout=30, headers={"Connection": "close"}).raise_for_status()
                outcomes.append("answered")
            except requests.ConnectionError as error:
                outcomes.append("refused" if "refused" in str(error) else "cut off")
            except requests.RequestException as error:
                outcomes.append(str(error))

    senders = [threading.Thread(target=send) for _ in range(4)]
    assert wait_for(lambda: all(each["state"] == "runs" for each in status_of_stack(home)))
    for sender in senders:
        sender.start()
    try:
        restarted = json.loads(tds(home, "stack", "restart", "--json"))
        assert list(restarted) == ["schema", *(each["name"] for each in status_of_stack(home))]
        assert restarted.items() >= {
            "schema": f"is at revision {newest_revision()}", "api": "has loaded again", "api-2": "has loaded again",
        }.items()  # fmt: skip
        assert wait_for(lambda: len(outcomes) > 100) and set(outcomes) == {"answered"}
        leader_of(stack, "tds_api.server").send_signal(signal.SIGKILL)
        count = len(outcomes)
        assert wait_for(lambda: len(outcomes) > count + 100)
    finally:
        ended.set()
        for sender in senders:
            sender.join()
    # What the killed one had in hand is cut off: at most one request of each sender.
    assert set(outcomes) <= {"answered", "cut off"}
    assert outcomes.count("cut off") <= len(senders)


def test_other_commands_see_the_stack_and_restart_a_program(stack: dict[str, str], home: Path) -> None:
    assert wait_for(lambda: all(each["state"] == "runs" for each in status_of_stack(home)))
    before = {each["name"]: each["pid"] for each in status_of_stack(home)}
    assert list(before) == ["api", "api-2", "worker-1", "dispatcher", "beat", "flower"]
    assert "runs again" in tds(home, "stack", "restart", "beat")
    after = {each["name"]: each["pid"] for each in status_of_stack(home)}
    assert {name for name, pid in after.items() if pid != before[name]} == {"beat"}


def status_of_stack(home: Path) -> list[dict[str, Any]]:
    return json.loads(tds(home, "stack", "status", "--json"))["programs"]


def tds(home: Path, *arguments: str) -> str:
    """What a command of this home prints."""
    environment = {**os.environ, "TDS_HOME": str(home)}
    command = [sys.executable, "-m", "tds_api.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False).stdout


def leader_of(stack: dict[str, str], needle: str) -> psutil.Process:
    """The direct child of `tds up` with these words in its command line; it must come back within a moment."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in psutil.Process(int(stack["pid"])).children():
            with contextlib.suppress(psutil.Error):
                if needle in " ".join(child.cmdline()):
                    return child
        time.sleep(0.05)
    raise AssertionError(f"{needle} did not come back")


def status_of(url: str, body: bytes | None = None) -> int:
    """The status an address answers with, 0 when nobody does."""
    try:
        return requests.request("POST" if body else "GET", url, data=body, timeout=10).status_code
    except requests.RequestException:
        return 0


def read(url: str, password: str) -> str:
    return requests.get(url, auth=("tds", password), timeout=10).text


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie only waits for its parent to take note."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(seen: Callable[[], bool], seconds: float = 30) -> bool:
    """Ask until it is true, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen():
            return True
        time.sleep(0.1)
    return False
