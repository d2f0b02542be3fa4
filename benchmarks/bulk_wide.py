"""How fast a list of wide records comes over, beside a tuned floor that stores the same with its history.

The server (`list_server`) costs next to nothing, so that the seconds are the loader's and PostgreSQL's own. Three
steps: a first load, the whole list again after 1 % of it changed, and by an increment another 1 %. Before the second,
TDS has read every record whole, as on every later day. Goals: 1.5, 2 and 2 times the floor. A second floor differs in
one thing: it asks for the pages in the order that loses no record, as TDS has to.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg2
import requests

from benchmarks.bulk import STEPS, environment, medians, named, run
from tds_core.database_urls import without_driver
from tds_core.schema.migrations import upgrade

ROUNDS = 3
GOALS = {"first_load": 1.5, "reload": 2.0, "incremental": 2.0}
LOADERS = {
    "": "benchmarks.bulk_tds",
    "floor_": "benchmarks.bulk_tuned_floor",
    "ordered_floor_": "benchmarks.bulk_ordered_floor",
}


@contextmanager
def list_server(records: int) -> Iterator[dict[str, str]]:
    """A server of so many records."""
    command = [sys.executable, "-m", "benchmarks.list_server", f"--records={records}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def one_round(
    url: str, redis_url: str, zoho: dict[str, str], records: int, postmaster: psutil.Process
) -> dict[str, float]:
    """Both loaders' three steps, each from an empty database."""
    upgrade(url)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as home:
        env = environment(url, redis_url, zoho, home)
        for number, step in enumerate(STEPS):
            requests.get(f"{zoho['url']}/_control/version", params={"number": number}, timeout=10).raise_for_status()
            mode = "incremental" if step == "incremental" else "full"
            for prefix, module in LOADERS.items():
                _clean_up(url)
                figures |= named(f"{prefix}{step}", run(module, mode, env, zoho, postmaster))
            run(LOADERS[""], "details", env, zoho, postmaster)
    connection = psycopg2.connect(without_driver(url))
    connection.autocommit = True
    with connection.cursor() as cursor:
        _check(cursor, records)
        cursor.execute("drop schema erp, public, floor, ordered_floor cascade; create schema public")
    connection.close()
    return figures


def _clean_up(url: str) -> None:
    """Have PostgreSQL clean up after what was written before, so that no loader pays for another's."""
    connection = psycopg2.connect(without_driver(url))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("vacuum (analyze)")
        cursor.execute("checkpoint")
    connection.close()


def _check(cursor: Any, records: int) -> None:
    """Refuse figures of a load that did not bring everything over."""
    changed = 2 * max(1, records // 100)
    counts = {"erp.product": records}
    for schema in ("floor", "ordered_floor"):
        counts |= {f"{schema}.item": records, f"{schema}.history": records + changed}
    for table, count in counts.items():
        cursor.execute(f"select count(*) from {table}")
        assert cursor.fetchone()[0] == count, table
    cursor.execute("select count(*) from tds_audit_trail where operation = 'updated' and changes ? 'price'")
    assert cursor.fetchone()[0] == changed
    cursor.execute(
        "select count(*) from erp.product p join floor.item f on f.item_id = p.source_id where p.price <> f.rate"
    )
    assert cursor.fetchone()[0] == 0


def measure(records: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians over `rounds`, and the ratios of TDS to the floor beside their goals."""
    with list_server(records) as zoho:
        result = medians(one_round, zoho, records, rounds)
    ratios = {
        f"{step}_vs_{floor}": round(result[f"{step}_s"] / result[f"{floor}_{step}_s"], 2)
        for floor in ("floor", "ordered_floor")
        for step in STEPS
    }
    goals = {f"{step}_goal": goal for step, goal in GOALS.items()}
    return {"records": records, **ratios, **goals, **result}


def main() -> None:
    """Command line: `python -m benchmarks.bulk_wide [--records N] [--rounds N] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = measure(chosen.records, chosen.rounds)
    print(json.dumps(figures) if chosen.json else "\n".join(f"{key:28} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
