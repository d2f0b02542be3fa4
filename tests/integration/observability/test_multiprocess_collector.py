"""Counters of many processes: none is lost with its process, no gauge outlives it, and the directory stays small."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

COUNT = """
import sys
from tds_core.observability import metrics
metrics.webhooks.labels("product", "accepted").inc(int(sys.argv[1]))
metrics.freshness_seconds.labels("product").observe(0.2)
metrics.pool_connections.labels("worker").set(3)
metrics.pool_limit.labels("worker").set(3)
print("counted", flush=True)
sys.stdin.readline()
"""
SCRAPE = """
from prometheus_client import generate_latest
from tds_core.observability.multiprocess_collector import scraped_registry
print(generate_latest(scraped_registry()).decode())
"""
Start = Callable[[int], "subprocess.Popen[str]"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}


@pytest.fixture
def start(environment: dict[str, str]) -> Start:
    def started(count: int) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", COUNT, str(count)]
        process = subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        return process

    return started


def end(process: "subprocess.Popen[str]", *, how: str) -> None:
    process.kill() if how == "killed" else process.communicate("\n")
    process.wait()


def samples(page: str) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(page)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def scraped(environment: dict[str, str]) -> dict[tuple[str, ...], float]:
    done = subprocess.run([sys.executable, "-c", SCRAPE], env=environment, capture_output=True, text=True, check=True)
    return samples(done.stdout)


ACCEPTED = ("tds_webhooks_total", "product", "accepted")
IN_USE = ("tds_pool_connections", "worker")


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_what_ended_processes_counted_stays_and_what_they_held_goes(
    start: Start, environment: dict[str, str], how: str
) -> None:
    first, second = start(2), start(5)
    found = scraped(environment)
    assert (found[ACCEPTED], found[IN_USE]) == (7, 6)
    end(first, how=how)
    found = scraped(environment)
    assert (found[ACCEPTED], found[IN_USE]) == (7, 3)
    assert found[("tds_freshness_seconds_count", "product")] == 2
    end(second, how=how)
    for _ in range(2):  # what was taken over once is not taken over again
        found = scraped(environment)
        assert (found[ACCEPTED], IN_USE in found) == (7, False)


def test_what_other_programs_count_in_the_directory_is_not_shown(start: Start, environment: dict[str, str]) -> None:
    program = "from prometheus_client import Gauge\nGauge('flower_online', 'x', ['worker']).labels('w1').set(1)"
    end(start(1), how="ended")  # which makes the directory
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert {name.partition("_")[0] for name, *_ in scraped(environment)} == {"tds"}


def test_the_directory_does_not_grow_with_every_process_that_is_replaced(
    start: Start, environment: dict[str, str]
) -> None:
    for _ in range(5):
        end(start(1), how="killed")
        assert scraped(environment)[ACCEPTED]
    files = {path.name for path in Path(environment["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db")}
    mine = {name for name in files if "departed" in name}
    assert mine == {"counter_departed.db", "histogram_departed.db"}
    assert len(files) <= 8  # and those of the scrape that ended last
    assert scraped(environment)[ACCEPTED] == 5


def test_a_process_without_a_web_server_answers_at_its_own_port(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    program = (
        "import sys\nfrom tds_core.observability import metrics\nfrom tds_core.config.settings import load_settings\n"
        "from tds_tasks.worker.metrics_server import serve_metrics\n"
        "metrics.nudges.labels('sent').inc(4)\nserve_metrics(load_settings())\nsys.stdin.readline()\n"
    )
    params = {**environment, "TDS_METRICS_PORT": str(port)}
    process = subprocess.Popen([sys.executable, "-c", program], env=params, stdin=subprocess.PIPE, text=True)
    try:
        assert samples(_page(f"http://127.0.0.1:{port}/metrics"))[("tds_nudges_total", "sent")] == 4
    finally:
        process.communicate("\n")


def _page(url: str) -> str:
    until = time.monotonic() + 30
    while True:
        try:
            return requests.get(url, timeout=5).text
        except requests.ConnectionError:
            assert time.monotonic() < until
            time.sleep(0.1)
