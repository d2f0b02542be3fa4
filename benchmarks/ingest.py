"""How many durable, verified webhooks one API process takes a second, beside the same server doing nothing and the
bare statement.
"""

import argparse
import hmac
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.load import Load, pace, press
from tds_api.cli.migrations import upgrade
from tds_core.embedded import EmbeddedPostgres
from tds_core.sources.zoho.webhooks import parse
from tds_core.sync.inbox import Delivery, receive
from tds_models.db import make_engine, session_scope

SECRET = "benchmarksecret1"  # noqa: S105
ROUNDS = 3
CONNECTIONS = 64
_numbers = itertools.count(1)


def bodies(count: int) -> list[bytes]:
    """Item webhooks of about 1.2 KB, no two of the same item."""
    return [_body(next(_numbers)) for _ in range(count)]


def _body(number: int) -> bytes:
    record = {
        "item_id": str(4_600_000_000_000_000 + number),
        "name": f"Widget {number}",
        "sku": f"W-{number}",
        "rate": number % 1000 + 0.5,
        "status": "active",
        "last_modified_time": "2026-11-22T09:30:00+0300",
        **{f"field_{n}": f"some value {n}" for n in range(36)},
        "warehouses": [{"warehouse_id": "1", "stock": 5}, {"warehouse_id": "2", "stock": 7}],
    }
    return json.dumps({"item": record}).encode()


def request_of(body: bytes) -> bytes:
    """The bytes a sender puts on the wire."""
    signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    head = (
        "POST /api/tds/zoho/webhooks/product/updated HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-Zoho-Webhook-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def server(database_url: str, *, threads: int, empty: bool) -> Iterator[tuple[int, psutil.Process]]:
    """One API process as `tds up` starts it; yields its port and process."""
    port = _free_port()
    environ = {
        **os.environ,
        "TDS_DATABASE_URL": database_url,
        "ZOHO_WEBHOOK_SECRET": SECRET,
        "TDS_LOG_LEVEL": "WARNING",
        **({"BENCHMARK_EMPTY": "yes"} if empty else {}),
    }
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws", "--host", "127.0.0.1", "--port"]
    command += [str(port), "--workers", "1", "--blocking-threads", str(threads), "benchmarks.ingest_app:app"]
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
    try:
        _await(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(port: int) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("The API did not start.")


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time of a process and its children so far."""
    family = [process, *process.children(recursive=True)]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def statement_per_second(database_url: str, count: int) -> float:
    """The bare ingest statement: one delivery a transaction, one connection, no server around it."""
    deliveries = [_delivery(body) for body in bodies(count)]
    engine = make_engine(database_url, pool_size=1)
    begun_at = time.perf_counter()
    for delivery in deliveries:
        with session_scope(engine) as session:
            receive(session, [delivery], duplicate_window_seconds=600)
    elapsed = time.perf_counter() - begun_at
    engine.dispose()
    return count / elapsed


def _delivery(body: bytes) -> Delivery:
    return parse(
        entity="product", event="updated", content_type="application/json", body=body, query=[], form=None, headers={},
        correlation_id="benchmark",
    )  # fmt: skip


def measure(*, seconds: float, threads: int) -> dict[str, float]:
    """All figures, each the median of interleaved rounds."""
    with tempfile.TemporaryDirectory(prefix="tds-bench-") as home:
        Path(home).chmod(0o755)
        with EmbeddedPostgres(Path(home)) as postgres:
            upgrade(postgres.url)
            with (
                server(postgres.url, threads=threads, empty=False) as (port, process),
                server(postgres.url, threads=threads, empty=True) as (empty_port, empty_process),
            ):
                return _rounds(postgres.url, (port, process), (empty_port, empty_process), seconds)


Served = tuple[int, psutil.Process]


def _rounds(url: str, served: Served, doing_nothing: Served, seconds: float) -> dict[str, float]:
    port, empty_port = served[0], doing_nothing[0]
    full: list[Load] = []
    empty: list[Load] = []
    bare: list[float] = []
    cpu: list[float] = []
    empty_cpu: list[float] = []
    guess = _pressed(port, 2000).per_second
    empty_guess = _pressed(empty_port, 2000).per_second
    for _ in range(ROUNDS):
        full.append(_pressed(port, int(guess * seconds), spent=cpu, by=served[1]))
        empty.append(_pressed(empty_port, int(empty_guess * seconds), spent=empty_cpu, by=doing_nothing[1]))
        bare.append(statement_per_second(url, int(300 * seconds)))
    peak = statistics.median(load.per_second for load in full)
    at_half = [_paced(port, peak / 2, seconds) for _ in range(ROUNDS)]
    empty_peak, bare_peak = statistics.median(load.per_second for load in empty), statistics.median(bare)
    return {
        "webhooks_per_s": round(peak),
        "p99_ms": round(statistics.median(load.percentile_ms(0.99) for load in full), 1),
        "p99_ms_at_half_peak": round(statistics.median(load.percentile_ms(0.99) for load in at_half), 1),
        "empty_per_s": round(empty_peak),
        "statement_per_s": round(bare_peak),
        "ratio_to_empty": round(peak / empty_peak, 3),
        "ratio_to_statement": round(peak / bare_peak, 2),
        "cpu_us_per_webhook": round(statistics.median(cpu) * 1e6),
        "empty_cpu_us": round(statistics.median(empty_cpu) * 1e6),
    }


def _pressed(port: int, count: int, *, spent: list[float] | None = None, by: psutil.Process | None = None) -> Load:
    """`count` webhooks as fast as they are taken; the processor seconds `by` spent on each are added to `spent`."""
    requests = [request_of(body) for body in bodies(count)]
    before = cpu_seconds(by) if by else 0.0
    load = _checked(press(port, requests, connections=CONNECTIONS))
    if by and spent is not None:
        spent.append((cpu_seconds(by) - before) / count)
    return load


def _paced(port: int, per_second: float, seconds: float) -> Load:
    requests = [request_of(body) for body in bodies(int(per_second * seconds))]
    return _checked(pace(port, requests, per_second=per_second, connections=CONNECTIONS))


def _checked(load: Load) -> Load:
    """A figure counts only when every webhook was accepted."""
    if set(load.statuses) != {"202"}:
        raise RuntimeError(f"Not every webhook was accepted: {load.statuses}")
    return load


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a round")
    parser.add_argument("--threads", type=int, default=64, help="threads of the API process")
    chosen = parser.parse_args(arguments)
    figures = measure(seconds=chosen.seconds, threads=chosen.threads)
    if chosen.json:
        print(json.dumps(figures))
    else:
        print("\n".join(f"{name:24} {value:>10}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
