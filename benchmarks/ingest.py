"""How many durable, verified webhooks one API process takes a second, beside the same server doing nothing (behind its
door alone, and in a Flask view), the bare statement, and the bare insert of their rows by a C program.

Who spends the processor time of a webhook: the API process, PostgreSQL, and the sender, which is a process of its own
and shares the machine with them.
"""

import argparse
import hmac
import itertools
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.ingest_insert import GROUP, insert, postgres_seconds
from benchmarks.load import Load, pace, press
from tds_core.config.settings import load_settings
from tds_core.inbox.receive import Delivery, receive
from tds_core.schema.migrations import upgrade
from tds_core.sources.zoho.webhooks.parser import parse
from tds_local.embedded import EmbeddedPostgres
from tds_local.programs import api
from tds_models.db import make_engine, session_scope

SECRET = "benchmarksecret1"  # noqa: S105
ROUNDS, WARM_UP = 3, 2000
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


def request_of(body: bytes, *, path: str = "/api/tds/zoho/webhooks/product/updated", secret: str = SECRET) -> bytes:
    """The bytes a sender puts on the wire."""
    signature = hmac.new(secret.encode(), body, "sha256").hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"X-Zoho-Webhook-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def server(database_url: str, *, threads: int, empty: str = "") -> Iterator[tuple[int, psutil.Process]]:
    """One API process as `tds up` starts it; yields its port and process. `empty` names what does nothing in it: its
    `door`, or a Flask `view` without the door.
    """
    port = _free_port()
    environ = {
        **os.environ,
        "TDS_DATABASE_URL": database_url,
        "ZOHO_WEBHOOK_SECRET": SECRET,
        "TDS_LOG_LEVEL": "WARNING",
        "TDS_API_THREADS": str(threads),
        "BENCHMARK_EMPTY": empty,
    }
    program = api(load_settings({"TDS_PORT": str(port)}))
    command = [*program.argv, "--app", "benchmarks.ingest_app:app"]
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
    for _ in range(1200):
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


def measure(*, seconds: float, threads: int, rounds: int = ROUNDS, warm_up: int = WARM_UP) -> dict[str, float]:
    """All figures, each the median of interleaved rounds; `warm_up` webhooks before tell how many a round takes."""
    with tempfile.TemporaryDirectory(prefix="tds-bench-") as home:
        Path(home).chmod(0o755)
        with EmbeddedPostgres(Path(home)) as postgres:
            upgrade(postgres.url)
            with (
                server(postgres.url, threads=threads) as full,
                server(postgres.url, threads=threads, empty="view") as view,
                server(postgres.url, threads=threads, empty="door") as door,
            ):
                postmaster = psutil.Process(postgres.pid)
                figures = _rounds(
                    postgres.url, (full, view, door), postmaster, seconds=seconds, rounds=rounds, warm_up=warm_up
                )
            groups = int(figures["webhooks_per_s"] * seconds / GROUP)
            inserted = [insert(postgres.url, bodies(GROUP), groups, postmaster) for _ in range(rounds)]
    return {
        **figures,
        "insert_per_s": round(statistics.median(each.per_second for each in inserted)),
        "insert_postgres_cpu_us": round(statistics.median(each.cpu_us for each in inserted)),
    }


Served = tuple[int, psutil.Process]


def _rounds(
    url: str,
    served: tuple[Served, Served, Served],
    postmaster: psutil.Process,
    *,
    seconds: float,
    rounds: int,
    warm_up: int,
) -> dict[str, float]:
    """`served`: the product, the view that does nothing, and the door that does."""
    counts = [int(_pressed(each, warm_up).per_second * seconds) for each in served]
    loads: list[list[Load]] = [[], [], []]
    spent: list[list[float]] = [[], [], []]
    others: list[tuple[float, float]] = []
    bare: list[float] = []
    for _ in range(rounds):
        for n, each in enumerate(served):
            before = cpu_seconds(each[1]), postgres_seconds(postmaster), time.process_time()
            loads[n].append(_pressed(each, counts[n]))
            spent[n].append((cpu_seconds(each[1]) - before[0]) / counts[n])
            if n == 0:
                postgres, sender = postgres_seconds(postmaster) - before[1], time.process_time() - before[2]
                others.append((postgres / counts[n], sender / counts[n]))
        bare.append(statement_per_second(url, int(300 * seconds)))
    peak, view_peak, door_peak = (statistics.median(load.per_second for load in some) for some in loads)
    cpu, view_cpu, door_cpu = (round(statistics.median(some) * 1e6) for some in spent)
    at_half = [_paced(served[0], peak / 2, seconds) for _ in range(rounds)]
    bare_peak = statistics.median(bare)
    return {
        "webhooks_per_s": round(peak),
        "p99_ms": round(statistics.median(load.percentile_ms(0.99) for load in loads[0]), 1),
        "p99_ms_at_half_peak": round(statistics.median(load.percentile_ms(0.99) for load in at_half), 1),
        "empty_per_s": round(view_peak),
        "empty_door_per_s": round(door_peak),
        "statement_per_s": round(bare_peak),
        "ratio_to_empty": round(peak / view_peak, 3),
        "ratio_to_empty_door": round(peak / door_peak, 3),
        "ratio_to_statement": round(peak / bare_peak, 2),
        "cpu_us_per_webhook": cpu,
        "postgres_cpu_us_per_webhook": round(statistics.median(postgres for postgres, _ in others) * 1e6),
        "sender_cpu_us_per_webhook": round(statistics.median(sender for _, sender in others) * 1e6),
        "empty_cpu_us": view_cpu,
        "empty_door_cpu_us": door_cpu,
    }


def _pressed(served: Served, count: int) -> Load:
    """`count` webhooks as fast as they are taken."""
    requests = [request_of(body) for body in bodies(count)]
    return _checked(press(served[0], requests, connections=CONNECTIONS))


def _paced(served: Served, per_second: float, seconds: float) -> Load:
    requests = [request_of(body) for body in bodies(int(per_second * seconds))]
    return _checked(pace(served[0], requests, per_second=per_second, connections=CONNECTIONS))


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
