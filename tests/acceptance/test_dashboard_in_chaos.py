"""The overview while everything around it dies: it answers, with what was last known, and says what is away."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest
import requests

from tds_core.auth import operators
from tds_core.auth.sessions import Lifetime, log_in
from tds_core.database_urls import without_driver
from tds_lab.testbed import clean, free_port
from tds_models.auth import Role
from tds_models.db import make_engine, session_scope

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

PASSWORD = "correct horse battery"
TRUTH_WITHIN_SECONDS = 15


@dataclass
class Watch:
    """What a reader of the overview saw: the statuses, and how long an outage was not told."""

    statuses: Counter[int] = field(default_factory=Counter)
    #: Other answers than the overview, which do not say that the database is away.
    unexplained: list[str] = field(default_factory=list)
    #: In which there was no process to answer: it was killed, and is being started again.
    refused_seconds: float = 0.0
    outage_count: int = 0
    longest_untold_seconds: float = 0.0


@contextmanager
def chaos(home: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """Two minutes of chaos."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    own = {"TDS_HOME": str(home), "TDS_PORT": str(port), "TDS_FLOWER_PORT": str(free_port())}
    process = subprocess.Popen(
        [sys.executable, "-m", "tds_api.cli", "chaos", "--json", "--minutes", "2", "--seed", "3", "--rate", "10"],
        env={**kept, **own}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(120)
        clean(home / "chaos")
        shutil.rmtree(home)


def database_url(home: Path) -> str:
    """The address of the stack's database, once it is there."""
    running = home / "chaos" / "running.json"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if running.exists() and (url := json.loads(running.read_text()).get("TDS_DATABASE_URL")):
            return str(url)
        time.sleep(0.2)
    raise AssertionError("the stack did not start")


def session_token(url: str) -> str:
    """A session of a viewer of that database."""
    engine = make_engine(url, pool_size=1)
    with session_scope(engine) as session:
        operators.create_operator(session, name="watcher", role=Role.VIEWER, by="test", password=PASSWORD)
    begun = log_in(
        lambda: session_scope(engine), name="watcher", password=PASSWORD, lifetime=Lifetime(3600, 3600), address=None
    )
    engine.dispose()
    return begun.token


def is_away(url: str) -> bool:
    """Whether PostgreSQL takes no connection."""
    try:
        psycopg2.connect(without_driver(url), connect_timeout=1).close()
    except psycopg2.OperationalError:
        return True
    return False


def watch(process: subprocess.Popen[str], url: str, address: str, cookie: str) -> Watch:
    """Read the overview twice a second until the chaos ends."""
    seen, away_since = Watch(), 0.0
    while process.poll() is None:
        is_out = is_away(url)
        away_since = (away_since or time.monotonic()) if is_out else 0.0
        began = time.monotonic()
        try:
            answer = requests.get(
                f"{address}/dashboard", cookies={"tds_session": cookie}, headers={"Accept": "text/html"}, timeout=10
            )
        except requests.RequestException:
            time.sleep(0.2)
            seen.refused_seconds += time.monotonic() - began
            continue
        seen.statuses[answer.status_code] += 1
        is_told = "cannot be reached" in answer.text
        if answer.status_code != 200 and not is_told:
            seen.unexplained.append(answer.text)
        if away_since and is_away(url):
            seen.outage_count += 1
            if not is_told:
                untold = time.monotonic() - away_since
                seen.longest_untold_seconds = max(seen.longest_untold_seconds, untold)
        time.sleep(0.5)
    return seen


def test_the_overview_answers_through_two_minutes_of_chaos() -> None:
    home, port = Path(tempfile.mkdtemp(prefix="tds-chaos-")), free_port()
    home.chmod(0o755)
    with chaos(home, port) as process:
        url = database_url(home)
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 90
        cookie = ""
        while not cookie and time.monotonic() < deadline:
            try:
                requests.get(f"{address}/healthz", timeout=2)
                cookie = session_token(url)
            except Exception:  # the stack is still starting
                time.sleep(0.5)
        seen = watch(process, url, address, cookie)
    print(seen)  # noqa: T201 (for those who ask, with -rP)
    assert seen.statuses[200] > 50
    assert seen.unexplained == []
    assert seen.outage_count > 0, "there was no outage to tell of"
    assert seen.longest_untold_seconds < TRUTH_WITHIN_SECONDS, seen
