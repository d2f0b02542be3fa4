"""Whoever kills the worker, whenever: a full sync goes on where it was and ends with exactly what the source has."""

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from tests.support import world as worlds
from tests.support.standin import SMALL, StandIn, names, serving
from tests.support.world import World

pytestmark = pytest.mark.acceptance

KILLS = 10
SEED = int(os.environ.get("TDS_TEST_SEED") or random.randrange(10**6))
QUARANTINED = "select entity, source_id, error_class from tds_dead_letter_queue where resolved_at is null"
WORKER = [sys.executable, "-m", "tests.support.dying_worker", "product", "invoice"]


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with serving(replace(SMALL, products=300, invoices=90)) as standin:
        yield standin


@pytest.fixture
def mortal(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path, standin: StandIn
) -> Iterator[World]:
    """A world whose workers are processes, with leases so short that a dead one's work is soon taken up."""
    patience = {"TDS_LEASE_SECONDS": "1", "TDS_HEARTBEAT_SECONDS": "0.3", "TDS_CLAIM_SIZE": "20"}
    with worlds.opened(monkeypatch, engine, database, str(tmp_path), {**standin.settings, **patience}) as world:
        yield world


def kill_somewhere(standin: StandIn, jitter: random.Random) -> None:
    """Start a worker and kill it a random moment after a random call; SIGKILL, so it cannot tidy up."""
    worker = subprocess.Popen(WORKER, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    calls_left, delay_seconds = jitter.randint(1, 9), jitter.random() * 0.08

    def count(path: str, query: Mapping[str, str]) -> None:
        nonlocal calls_left
        calls_left -= 1
        if calls_left == 0:
            threading.Timer(delay_seconds, worker.kill).start()

    standin.before_call = count
    worker.wait(60)
    standin.before_call = lambda path, query: None
    assert worker.returncode == -9, "it must not have come to its end"


def finish() -> None:
    done = subprocess.run(WORKER, cwd=Path(__file__).parents[2], capture_output=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def lines_there(standin: StandIn) -> dict[str, list[Any]]:
    return {
        each: [line["line_item_id"] for line in standin.detail("invoices", each)["line_items"]]
        for each in standin.ids("invoices")
    }


def lines_here(world: World) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for line in world.rows("select parent_id, line_id from erp.invoice_line order by parent_id, position"):
        found.setdefault(line["parent_id"], []).append(line["line_id"])
    return found


def test_a_worker_killed_ten_times_leaves_nothing_out_and_does_nothing_twice(mortal: World, standin: StandIn) -> None:
    sys.stdout.write(f"TDS_TEST_SEED={SEED} does the same again\n")
    jitter = random.Random(SEED)
    wanted = [mortal.request_run(entity, "full") for entity in ("product", "invoice")]
    for _ in range(KILLS):
        kill_somewhere(standin, jitter)
    finish()
    for run_id in wanted:
        run = mortal.run_row(run_id)
        assert (run["state"], run["outcomes"]["created"]) == (
            "completed",
            run["expected_count"] or run["outcomes"]["created"],
        )
    assert mortal.mirror("product", "name") == names(standin)
    # Its list row, and once what only its detail shows.
    versions = mortal.rows(
        "select operation, version, count(*) from tds_audit_trail where entity = 'product' group by 1, 2"
    )
    assert {(each["operation"], each["version"]) for each in versions} <= {("created", 1), ("updated", 2)}
    assert [each["count"] for each in versions if each["version"] == 1] == [300]
    # A record that was in a dying worker's hands twice looks like what killed it: it is set aside until the next pass.
    set_aside = mortal.rows(QUARANTINED)
    assert {each["error_class"] for each in set_aside} <= {"crashed"}
    if set_aside:
        for entity in sorted({each["entity"] for each in set_aside}):
            mortal.request_run(entity, "full")
        finish()
    assert mortal.rows(QUARANTINED) == []
    assert lines_here(mortal) == lines_there(standin)
