"""How fast a catalogue comes over: a first load, a reload after 1 % changed, and the next 1 % by an incremental run.

TDS, with its history, beside the least a mirror can do (`bulk_floor`) and beside dlt (`bulk_dlt`), each from the same
stand-in into the same PostgreSQL, in turn, every run in a process of its own. Its start is in the processor time of a
step, not in its seconds.

- `first_load`: the list of an empty mirror, to the last page. TDS writes rows and history, and owes the details.
- `owed_reload` (TDS only): the whole list again, unchanged, while all details are still owed, as in a first week.
- `first_load_details` (TDS only): what is owed is read, a hundred to a call, and what lists do not show is written.
- `reload`: the whole list again after 1 % changed, all records having been read whole, as on every later day; and
  `reload_details` (TDS only): the details of that 1 %.
- `incremental`: the list from the cursor on after another 1 % changed; and `incremental_details` (TDS only).

The others read no details, so ratios compare lists with lists; `peak_mb` and `api_calls` are of these three steps.
"""

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import requests
from cryptography.fernet import Fernet

from tds_core.database_urls import without_driver
from tds_core.schema.migrations import upgrade
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis

ROUNDS = 3
UNLIMITED = ("--calls-per-minute=0", "--calls-per-day=0", "--concurrent-calls=0", "--token-refreshes=0")
NOTHING_ELSE = [
    f"--{name}=0" for name in ("invoices", "orders", "payments", "bills", "credit-notes", "adjustments", "price-lists")
]
#: The contestants: their modules, the first of them the one the others are held beside.
PEERS = {"": "benchmarks.bulk_tds", "floor_": "benchmarks.bulk_floor", "dlt_": "benchmarks.bulk_dlt"}
STEPS = ("first_load", "reload", "incremental")
#: What TDS does after a step of all: its name, and the mode.
AFTERWARDS = {
    "first_load": {"owed_reload": "full", "first_load_details": "details"},
    "reload": {"reload_details": "details"},
    "incremental": {"incremental_details": "details"},
}
_prices = itertools.count(1)
Round = Callable[[str, str, dict[str, str], int, psutil.Process], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Took:
    """What one run took."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    api_calls: int


@contextmanager
def sandbox(products: int) -> Iterator[dict[str, str]]:
    """A stand-in for Zoho with `products` items and no limits."""
    command = [
        sys.executable,
        "-m",
        "zoho_sandbox",
        f"--products={products}",
        "--customers=1",
        "--vendors=1",
        *NOTHING_ELSE,
    ]
    process = subprocess.Popen([*command, *UNLIMITED], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def environment(url: str, redis_url: str, zoho: dict[str, str], home: str) -> dict[str, str]:
    """The settings of a run's process."""
    return {
        **os.environ,
        "TDS_DATABASE_URL": url,
        "TDS_REDIS_URL": redis_url,
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
        "ZOHO": json.dumps(zoho),
        "DLT_HOME": home,
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION": "true",
    }


def api_calls(zoho: dict[str, str]) -> int:
    """How many calls the stand-in has answered."""
    counts = requests.get(f"{zoho['url']}/_control/state", timeout=10).json()["api_calls"]
    return sum(count for by_status in counts.values() for count in by_status.values())


def cpu_seconds(postmaster: psutil.Process) -> float:
    """What this process's ended children and all of PostgreSQL have computed so far."""
    ended = sum(os.times()[2:4]) + postmaster.cpu_times().children_user + postmaster.cpu_times().children_system
    total = ended
    for each in [postmaster, *postmaster.children()]:
        with suppress(psutil.NoSuchProcess):  # it ended just now, and its parent has its count
            total += sum(each.cpu_times()[:2])
    return total


def run(module: str, mode: str, env: dict[str, str], zoho: dict[str, str], postmaster: psutil.Process) -> Took:
    """One run of `module` in a process of its own."""
    cpu, calls = cpu_seconds(postmaster), api_calls(zoho)
    ended = subprocess.run([sys.executable, "-m", module, mode], env=env, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(ended.stdout.splitlines()[-1])
    return Took(told["seconds"], cpu_seconds(postmaster) - cpu, told["peak_mb"], api_calls(zoho) - calls)


def change_some(zoho: dict[str, str], ids: list[str]) -> None:
    """Edit these items in the stand-in, each time to prices it has not seen."""
    base = next(_prices) * 1_000_000
    for number, source_id in enumerate(ids):
        edit = {"module": "item", "action": "update", "id": source_id, "changes": {"rate": base + number}}
        requests.post(f"{zoho['url']}/_control/edit", json=edit, timeout=10).raise_for_status()


def stages(connection: Any) -> dict[str, float]:
    """Where the newest run's time went, from its own pages. The two overlap: one page is read while one is written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select sum(fetch_seconds), sum(apply_seconds) from tds_sync_run_pages"
            " where run_id = (select max(id) from tds_sync_runs)"
        )
        fetch, apply = cursor.fetchone()
    return {"fetch_s": fetch, "write_s": apply}


def check(connection: Any, products: int, changed: int) -> None:
    """Refuse figures of a load that did not bring everything over."""
    with connection.cursor() as cursor:
        cursor.execute("select (select count(*) from erp.product), (select count(*) from floor.item)")
        assert cursor.fetchone() == (products, products)
        cursor.execute("select count(*) from tds_audit_trail where operation = 'updated' and changes ? 'price'")
        assert cursor.fetchone()[0] == changed
        cursor.execute("select count(*) from erp.product where lines_confirmed_at is null")
        assert cursor.fetchone()[0] == 0
        cursor.execute(
            "select count(*) from erp.product p join floor.item f on f.item_id = p.source_id"
            " where p.price is distinct from f.rate"
        )
        assert cursor.fetchone()[0] == 0


def one_round(
    url: str, redis_url: str, zoho: dict[str, str], products: int, postmaster: psutil.Process
) -> dict[str, float]:
    """Every contestant's three steps, each from an empty database."""
    upgrade(url)
    connection = psycopg2.connect(without_driver(url))
    connection.autocommit = True
    figures: dict[str, float] = {}
    some = max(1, products // 100)
    with tempfile.TemporaryDirectory() as home:
        env = environment(url, redis_url, zoho, home)
        ids: list[str] = []
        for step in STEPS:
            change_some(zoho, ids[:some])
            for prefix, module in contestants().items():
                mode = "incremental" if step == "incremental" else "full"
                figures |= named(f"{prefix}{step}", run(module, mode, env, zoho, postmaster))
                if not prefix:
                    figures |= {f"{step}_{name}": value for name, value in stages(connection).items()}
                    for after, mode in AFTERWARDS[step].items():
                        figures |= named(after, run(module, mode, env, zoho, postmaster))
            with connection.cursor() as cursor:
                cursor.execute("select source_id from erp.product order by md5(source_id || %s)", (step,))
                ids = [row[0] for row in cursor]
    check(connection, products, 2 * some)
    with connection.cursor() as cursor:
        cursor.execute("drop schema erp, public, floor cascade; create schema public")
        cursor.execute("drop schema if exists dlt_items, dlt_items_staging cascade")
    connection.close()
    return figures


def named(step: str, took: Took) -> dict[str, float]:
    """What a step took, as figures."""
    return {
        f"{step}_s": took.seconds,
        f"{step}_cpu_s": took.cpu_seconds,
        f"{step}_api_calls": took.api_calls,
        f"{step}_peak_mb": took.peak_mb,
    }


def contestants() -> dict[str, str]:
    """The modules by the prefix of their figures; dlt only where it is installed."""
    there = importlib.util.find_spec("dlt") is not None
    return {prefix: module for prefix, module in PEERS.items() if there or prefix != "dlt_"}


def medians(play: Round, zoho: dict[str, str], records: int, rounds: int) -> dict[str, Any]:
    """The median of every figure over `rounds` of `play`, on a PostgreSQL and a Redis of their own."""
    with (
        tempfile.TemporaryDirectory() as home,
        EmbeddedPostgres(Path(home)) as postgres,
        EmbeddedRedis(Path(home)) as redis,
    ):
        assert postgres.pid is not None
        postmaster = psutil.Process(postgres.pid)
        taken = [play(postgres.url, redis.url, zoho, records, postmaster) for _ in range(rounds)]
    return {key: round(statistics.median(each[key] for each in taken), 2) for key in taken[0]}


def measure(products: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians over `rounds`, and the ratios of TDS to the floor and of dlt to TDS."""
    with sandbox(products) as zoho:
        result = medians(one_round, zoho, products, rounds)
    ratios = {f"{step}_vs_floor": round(result[f"{step}_s"] / result[f"floor_{step}_s"], 2) for step in STEPS}
    if "dlt_first_load_s" in result:
        ratios["vs_dlt"] = round(result["dlt_first_load_s"] / result["first_load_s"], 1)
    return {
        "products": products,
        "items_per_s": round(products / result["first_load_s"]),
        "floor_items_per_s": round(products / result["floor_first_load_s"]),
        **ratios,
        "peak_mb": max(result[f"{step}_peak_mb"] for step in STEPS),
        "api_calls": sum(result[f"{step}_api_calls"] for step in STEPS),
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
