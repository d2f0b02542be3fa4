"""How fast a whole catalogue comes over: first load with history, a reload of the same, and an incremental run of the
one per cent that changed; beside a floor that does the least a mirror can do.

The floor, one process without look-ahead: fetch a page, split it, hash each record, parse it, COPY page and typed
columns into a temporary table, upsert where the hash differs, and one history row per change with the record as it
came. It has no guard against older records, no field diff, no queue, no cursor, no resumption, no deletions.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import requests
from cryptography.fernet import Fernet

from benchmarks import bulk_floor
from tds_api.cli.migrations import upgrade
from tds_core.embedded import EmbeddedPostgres
from tds_core.urls import without_driver

ROUNDS = 3
_prices = itertools.count(1)
UNLIMITED = ("--calls-per-minute=0", "--calls-per-day=0", "--concurrent-calls=0", "--token-refreshes=0")

# One run of TDS, in a process of its own as a worker would do it.
RUN = """
import sys, time
from tds_core.logging import configure_logging
from tds_core.sync import runs
from tds_tasks.context import scope, settings
from tds_tasks.runs import advance_run
from tds_tasks.app import tune_process
tune_process()
configure_logging(settings(), process="benchmark")
start = time.perf_counter()
with scope() as session:
    run = runs.request_run(session, entity="product", mode=sys.argv[1], requested_by="benchmark")
while advance_run(run, slice_seconds=3600):
    pass
print(time.perf_counter() - start)
"""


@contextmanager
def sandbox(products: int) -> Iterator[dict[str, str]]:
    """A stand-in for Zoho with `products` items and no limits."""
    command = [sys.executable, "-m", "zoho_sandbox", f"--products={products}", "--customers=1", "--vendors=1"]
    process = subprocess.Popen([*command, "--invoices=0", *UNLIMITED], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def environment(url: str, zoho: dict[str, str]) -> dict[str, str]:
    """The settings of the worker process."""
    return {
        **os.environ,
        "TDS_DATABASE_URL": url,
        "TDS_REDIS_URL": "redis://127.0.0.1:1/0",
        "TDS_SECRET_KEY": Fernet.generate_key().decode(),
        "TDS_LOG_LEVEL": "WARNING",
        "ZOHO_ACCOUNTS_URL": zoho["url"],
        "ZOHO_API_URL": zoho["url"],
        "ZOHO_CLIENT_ID": zoho["client_id"],
        "ZOHO_CLIENT_SECRET": zoho["client_secret"],
        "ZOHO_REFRESH_TOKEN": zoho["refresh_token"],
        "ZOHO_ORGANIZATION_ID": zoho["organization_id"],
        "ZOHO_CALLS_PER_MINUTE": "0",
        "ZOHO_BOOKS_CALLS_PER_DAY": "0",
        "ZOHO_INVENTORY_CALLS_PER_DAY": "0",
        "ZOHO_CONCURRENT_CALLS": "0",
    }


def run_tds(mode: str, env: dict[str, str]) -> float:
    """Seconds one run of `mode` takes, without the start of its process."""
    ended = subprocess.run([sys.executable, "-c", RUN, mode], env=env, check=True, stdout=subprocess.PIPE, text=True)
    return float(ended.stdout)


def stages(connection: Any) -> dict[str, float]:
    """Where the newest run's time went, from its own pages. The two overlap: one page is read while one is written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select sum(fetch_seconds), sum(apply_seconds) from tds_sync_run_pages"
            " where run_id = (select max(id) from tds_sync_runs)"
        )
        fetch, apply = cursor.fetchone()
    return {"fetch_and_read_seconds": round(fetch, 2), "write_seconds": round(apply, 2)}


def change_some(zoho: dict[str, str], connection: Any, count: int) -> None:
    """Edit `count` items in the stand-in, each time to prices it has not seen."""
    base = next(_prices) * 1_000_000
    with connection.cursor() as cursor:
        cursor.execute("select source_id from erp.product order by source_id limit %s", (count,))
        ids = [row[0] for row in cursor.fetchall()]
    for number, source_id in enumerate(ids):
        edit = {"module": "item", "action": "update", "id": source_id, "changes": {"rate": base + number}}
        requests.post(f"{zoho['url']}/_control/edit", json=edit, timeout=10).raise_for_status()


def cpu_seconds(postmaster: psutil.Process) -> float:
    """What this process, its ended children and all of PostgreSQL have computed so far."""
    own = sum(os.times()[:4])
    backends = [postmaster, *postmaster.children()]
    ended = postmaster.cpu_times().children_user + postmaster.cpu_times().children_system
    return own + ended + sum(each.cpu_times().user + each.cpu_times().system for each in backends)


def one_round(url: str, zoho: dict[str, str], products: int, postmaster: psutil.Process) -> dict[str, Any]:
    """TDS and the floor, each from an empty database."""
    upgrade(url)
    connection = psycopg2.connect(without_driver(url))
    connection.autocommit = True
    env = environment(url, zoho)
    before = cpu_seconds(postmaster)
    figures: dict[str, Any] = {"full_seconds": run_tds("full", env), **stages(connection)}
    figures["full_cpu_seconds"] = cpu_seconds(postmaster) - before
    figures["reload_seconds"] = run_tds("full", env)
    before = cpu_seconds(postmaster)
    figures["floor_full_seconds"] = bulk_floor.load(connection, zoho)
    figures["floor_full_cpu_seconds"] = cpu_seconds(postmaster) - before
    figures["floor_reload_seconds"] = bulk_floor.load(connection, zoho)
    change_some(zoho, connection, products // 100)
    figures["incremental_seconds"] = run_tds("incremental", env)
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from erp.product")
        assert cursor.fetchone()[0] == products
        cursor.execute("select count(*) from tds_audit_trail where operation = 'updated'")
        assert cursor.fetchone()[0] == products // 100
        cursor.execute("drop schema erp, public, floor cascade; create schema public")
    connection.close()
    return figures


def measure(products: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians over `rounds` and the ratios of TDS to the floor."""
    with tempfile.TemporaryDirectory() as home, EmbeddedPostgres(Path(home)) as postgres, sandbox(products) as zoho:
        assert postgres.pid is not None
        postmaster = psutil.Process(postgres.pid)
        taken = [one_round(postgres.url, zoho, products, postmaster) for _ in range(rounds)]
    result: dict[str, Any] = {key: round(statistics.median(each[key] for each in taken), 2) for key in taken[0]}
    return {
        "products": products,
        "items_per_s": round(products / result["full_seconds"]),
        "floor_items_per_s": round(products / result["floor_full_seconds"]),
        "ratio_to_floor": round(result["full_seconds"] / result["floor_full_seconds"], 2),
        "reload_ratio_to_floor": round(result["reload_seconds"] / result["floor_reload_seconds"], 2),
        **result,
    }


def main() -> None:
    """Command line: `python -m benchmarks.bulk [--products N] [--rounds N] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measure(chosen.products, chosen.rounds)
    print(json.dumps(figures) if chosen.json else "\n".join(f"{key:24} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
