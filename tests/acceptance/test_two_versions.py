"""A deploy without a pause and its way back: an earlier version and this one at work together on the newest schema.

The earlier version is the newest release tag, and an earlier state of the repository until there is one.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import requests
from cryptography.fernet import Fernet

from tds_core.database_urls import without_driver
from tds_core.observability.process_usage import SERVING
from tests.acceptance.workers import wait_for
from tests.house.code import ROOT
from tests.support.api_process import free_port
from tests.support.webhook_sender import PATH, SECRET, item, signature

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

#: Eighteen migrations ago.
EARLIER = "75ec304"
RATE, SENDERS = 100, 8
TOGETHER_SECONDS = 12.0
PROGRAMS = ("worker", "dispatcher", "beat", "web")


_LAG = """
select max(lag), percentile_cont(0.95) within group (order by lag) from (
    select extract(epoch from a.recorded_at - e.received_at) as lag
    from tds_audit_trail a join tds_inbox_events e on e.id = a.origin_id where a.origin = 'webhook') as each
"""


class Sender(threading.Thread):
    """Sends new records, each once and on a connection of its own."""

    def __init__(self, address: str, number: int, since: float) -> None:
        super().__init__(daemon=True)
        self._address, self._number, self._since = address, number, since
        self._ending = threading.Event()
        self.outcomes: list[tuple[float, float, str]] = []  # when, the seconds it took, what came of it
        self.taken: dict[str, int] = {}

    def run(self) -> None:
        count = 0
        while not self._ending.wait(max(0.0, self._since + count * SENDERS / RATE - time.monotonic())):
            self._send(f"46{self._number:02d}{count:08d}", count)
            count += 1

    def _send(self, source_id: str, count: int) -> None:
        began = time.time()
        changed = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(began))
        body = json.dumps({"item": item(source_id, rate=count, last_modified_time=changed)}).encode()
        headers = {
            "X-Zoho-Webhook-Signature": signature(body), "Content-Type": "application/json", "Connection": "close"
        }  # fmt: skip
        try:
            outcome = str(requests.post(self._address, data=body, headers=headers, timeout=20).status_code)
        except requests.RequestException as error:
            outcome = type(error).__name__
        else:
            self.taken[source_id] = count
        self.outcomes.append((began, time.time() - began, outcome))

    def stop(self) -> None:
        self._ending.set()
        self.join()


class Version:
    """The programs of one checkout, as its Procfile starts them."""

    def __init__(self, name: str, tree: Path, environ: dict[str, str], logs: Path) -> None:
        self.name, self.tree, self._logs = name, tree, logs
        lines = [line.split(":", 1) for line in (tree / "Procfile").read_text().splitlines() if line.strip()]
        self._commands = {{"api": "web"}.get(name, name): command.strip() for name, command in lines}
        self._environ = {**environ, "PYTHONPATH": str(tree), "HONCHO_PROCESS_NAME": f"worker-{name}"}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def migrate(self) -> None:
        command = [sys.executable, "-m", "tds_api.cli", "migrate"]
        done = subprocess.run(
            command, cwd=self.tree, env=self._environ, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, name: str) -> None:
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                ["bash", "-c", self._commands[name]], cwd=self.tree, env=self._environ, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    def log(self, name: str) -> Path:
        return self._logs / f"{self.name}-{name}.log"

    def serves(self) -> bool:
        """Whether its API has loaded its code: earlier ones open their socket only then."""
        workers = psutil.Process(self.running["web"].pid).children(recursive=True)
        if self.tree == ROOT:
            return any(each.name() == SERVING for each in workers)
        return any(found.status == psutil.CONN_LISTEN for each in workers for found in each.net_connections("tcp"))


def ask(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(without_driver(url))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    name = f"tds_versions_{uuid.uuid4().hex[:8]}"
    ask(postgres_url, f"create database {name}")
    yield f"{postgres_url.rpartition('/')[0]}/{name}"
    ask(postgres_url, f"drop database {name} with (force)")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The earlier version's files."""
    described = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    version, tree = described.stdout.strip() or EARLIER, tmp_path / "earlier"
    tree.mkdir()
    archive = subprocess.run(["git", "archive", version], cwd=ROOT, capture_output=True, check=False)
    assert archive.returncode == 0, f"{version} is not in this clone; fetch the whole history: {archive.stderr!r}"
    subprocess.run(["tar", "-x"], cwd=tree, input=archive.stdout, check=True)
    return tree


@pytest.fixture
def versions(database: str, redis_url: str, checkout: Path, tmp_path: Path) -> Iterator[tuple[Version, Version, str]]:
    """Both versions, none of them running, and the address of webhooks."""
    port = free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TDS_PORT": str(port),
        "TDS_DATABASE_URL": database, "TDS_REDIS_URL": redis_url, "TDS_HOME": str(tmp_path),
        "TDS_SECRET_KEY": Fernet.generate_key().decode(), "ZOHO_WEBHOOK_SECRET": SECRET, "TDS_WORKER_CONCURRENCY": "1",
    }  # fmt: skip
    earlier = Version("earlier", checkout, environ, tmp_path)
    newest = Version("newest", ROOT, environ, tmp_path)
    yield earlier, newest, f"http://127.0.0.1:{port}{PATH}"
    for version in (earlier, newest):
        for name in list(version.running):
            version.stop(name)


def take_over(of: Version, by: Version) -> None:
    """One program after the other: the new one runs before the old one ends."""
    for name in PROGRAMS:
        by.start(name)
        if name == "web":
            assert wait_for(by.serves, 60), by.log("web").read_text()
        else:
            time.sleep(6)
        of.stop(name)


def test_a_deploy_and_its_way_back_lose_nothing(versions: tuple[Version, Version, str], database: str) -> None:
    earlier, newest, address = versions
    earlier.migrate()
    for name in PROGRAMS:
        earlier.start(name)
    assert wait_for(earlier.serves, 60), earlier.log("web").read_text()
    since = time.monotonic()
    senders = [Sender(address, number, since + number / RATE) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    marks: list[tuple[float, str]] = []

    def step(name: str) -> None:
        marks.append((time.time(), name))

    time.sleep(5)
    step("the schema is the newest one's, the programs are the earlier ones")
    newest.migrate()
    time.sleep(TOGETHER_SECONDS)
    step("deploy")
    take_over(of=earlier, by=newest)
    step("the newest ones alone")
    time.sleep(5)
    step("way back")
    take_over(of=newest, by=earlier)
    step("the earlier ones alone, on the newest schema")
    time.sleep(TOGETHER_SECONDS)
    for sender in senders:
        sender.stop()

    taken = {source_id: count for sender in senders for source_id, count in sender.taken.items()}

    def rows() -> dict[str, int]:
        return {source_id: int(rate) for source_id, rate in ask(database, "select source_id, price from erp.product")}

    is_exact = wait_for(lambda: rows() == taken, 60)
    outcomes = sorted(each for sender in senders for each in sender.outcomes)
    failed = [
        ([name for at, name in marks if at <= began] or ["before"])[-1] + f": {outcome} after {took:.2f} s"
        for began, took, outcome in outcomes
        if outcome != "202"
    ]
    [(slowest, usual)] = ask(database, _LAG)
    took = max(took for _, took, _ in outcomes)
    sys.stdout.write(
        f"{len(outcomes)} webhooks, slowest answer {took:.3f} s; rows after {slowest:.2f} s, p95 {usual:.3f} s\n"
    )
    assert failed == []
    assert is_exact, (len(taken), len(rows()))
    assert took < 5
    assert slowest < 15
    assert ask(database, "select count(*) from tds_dead_letter_queue") == [(0,)]
