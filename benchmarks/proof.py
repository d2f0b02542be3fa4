"""What it takes to prove a mirror right, and how well faults are found.

- `matrix_*`: faults of every kind planted between a small stand-in and its mirror, one comparison: how many were found,
  what else was called different, and the calls beside the least (one a list page, one or one a hundred a record that
  only its details show).
- `organisation_*`: a whole organisation: the first comparison, which parses every list row; the next one, which meets
  nothing new; and one that follows a full pass, which asks the source nothing.
- `large_*`: many products: an unchanged full pass, beside a first comparison and later ones; then one row is changed by
  hand and has to be found.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from benchmarks import bulk
from benchmarks.full_sync import PAGE, Organisation, organisation
from tds_core.comparison.content_hashes import reads_details
from tds_core.schema.migrations import upgrade
from tds_lab.zoho_stand_in import SIZES
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis
from tds_models.db import make_engine
from tds_models.entities import ENTITIES
from tests.support.comparing import compare, differences, load_all
from tests.support.planted_faults import FAULTS, Ground
from tests.support.standin import serving
from tests.support.world import forget_context, opened

ROUNDS = 3


def matrix() -> dict[str, Any]:
    """Plant every fault, compare once, and hold what was found against what was planted."""
    with (
        tempfile.TemporaryDirectory() as home,
        EmbeddedPostgres(Path(home), durable=False) as postgres,
        serving() as standin,
        capture_logs(),
        pytest.MonkeyPatch.context() as patch,
    ):
        upgrade(postgres.url)
        environ = {**standin.settings, "TDS_COMPARISON_SETTLE_SECONDS": "0", "TDS_LOG_LEVEL": "ERROR"}
        engine = make_engine(postgres.url, pool_size=5)
        with opened(patch, engine, postgres.url, home, environ) as world:
            load_all(world)
            counts = {name: world.value(_COUNTS.format(each.table.fullname)) for name, each in ENTITIES.items()}
            expected = set(Ground(world, standin).plant_all())
            standin.calls.clear()
            began = time.perf_counter()
            comparison = compare(world)
            seconds = time.perf_counter() - began
            found = {
                (row["entity"], row["source_id"], row["kind"])
                for row in differences(world, comparison)
                if row["state"] == "confirmed"
            }
            calls = len([path for path in standin.calls if "oauth" not in path])
        engine.dispose()
        forget_context()
    return {
        "scenarios": len(FAULTS),
        "planted": len(expected),
        "found": len(found & expected),
        "false_positives": len(found - expected),
        "precision": round(len(found & expected) / len(found), 4) if found else None,
        "recall": round(len(found & expected) / len(expected), 4),
        "api_calls": calls,
        "api_calls_minimum": least_calls(counts) + _least_details(expected),
        "seconds": round(seconds, 2),
    }


def _least_details(expected: set[tuple[str, str, str]]) -> int:
    """The calls that confirm so many differences, of entities that are not read in detail as a whole."""
    per_entity = Counter(entity for entity, _, _ in expected if not reads_details(ENTITIES[entity]))
    batches = {name: ENTITIES[name].stream.batch for name in per_entity}
    return sum(ceil(count / (batch.size if (batch := batches[name]) else 1)) for name, count in per_entity.items())


def least_calls(counts: Mapping[str, int]) -> int:
    """The fewest calls by which both sides of so many records of each entity can be held against each other."""
    least = 0
    for name, entity in ENTITIES.items():
        batch = entity.stream.batch
        is_listed_with_another = name == "stock_level"  # the list of items serves both
        least += 0 if is_listed_with_another else max(1, ceil(counts[name] / PAGE))
        least += ceil(counts[name] / (batch.size if batch else 1)) if reads_details(entity) else 0
    return least


def _run(env: Mapping[str, str], follow_seconds: float, *entities: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.proof_run", str(follow_seconds), *entities]
    ended = subprocess.run(command, env=dict(env), check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return result


_REPORT = text("""
select c.agreement, sum(p.api_call_count) as calls, sum(p.equal_count) as equal,
       sum(p.different_count + p.missing_here_count + p.missing_there_count) as differing
from tds_comparisons c join tds_comparison_reports p on p.comparison_id = c.id where c.id = :id group by 1
""")
_COUNTS = "select count(*) from {} where deleted_at is null"


def whole_organisation(size: str) -> dict[str, Any]:
    """Compare an organisation three times: for the first time, again, and behind a full pass."""
    # A change counts as settled at once: nobody edits anything meanwhile.
    with organisation(SIZES[size]) as both:
        both.env["TDS_COMPARISON_SETTLE_SECONDS"] = "0"
        both.sync("full")
        figures: dict[str, Any] = {}
        for name, follow_seconds in (("first", 0.0), ("again", 0.0), ("follows", 3600.0)):
            if name == "follows":
                both.sync("full")
            took = _run(both.env, follow_seconds)
            figures |= {f"{name}_{key}": value for key, value in _figures(both, took).items()}
        with both.engine.connect() as connection:
            counts = {
                name: int(connection.execute(text(_COUNTS.format(entity.table.fullname))).scalar_one())
                for name, entity in ENTITIES.items()
            }
    return {**figures, "records": sum(counts.values()), "least_api_calls": least_calls(counts)}


def _figures(both: Organisation, took: Mapping[str, Any]) -> dict[str, Any]:
    with both.engine.connect() as connection:
        row = connection.execute(_REPORT, {"id": took["id"]}).one()
    return {
        "seconds": round(took["seconds"], 2),
        "api_calls": int(row.calls),
        "differences": int(row.differing),
        "equal": int(row.equal),
        "peak_mb": took["peak_mb"],
    }


_SPOIL = text("""
update erp.product set price = price + 1
where source_id = (select source_id from erp.product order by source_id offset :at limit 1)
""")


def _timed(env: Mapping[str, str], postmaster: psutil.Process) -> bulk.Took:
    """A comparison of products: what it took, processor time of PostgreSQL and of its start included."""
    time.sleep(1)  # until what the run before has computed is counted
    cpu = bulk.cpu_seconds(postmaster)
    took = _run(env, 0, "product")
    time.sleep(1)
    return bulk.Took(took["seconds"], bulk.cpu_seconds(postmaster) - cpu, took["peak_mb"], 0)


def many_products(count: int) -> dict[str, Any]:
    """An unchanged full pass of many products, beside comparisons of them, in turn; medians."""
    with (
        bulk.sandbox(count) as zoho,
        tempfile.TemporaryDirectory() as home,
        EmbeddedPostgres(Path(home)) as postgres,
        EmbeddedRedis(Path(home)) as redis,
    ):
        upgrade(postgres.url)
        env = bulk.environment(postgres.url, redis.url, zoho, home) | {
            "TDS_GUARD_PERCENT": "100",
            "TDS_COMPARISON_SETTLE_SECONDS": "0",
        }
        postmaster = psutil.Process(postgres.pid)
        for mode in ("full", "details"):
            bulk.run("benchmarks.bulk_tds", mode, env, zoho, postmaster)
        first, passes, again = _timed(env, postmaster), [], []
        for _ in range(ROUNDS):
            passes.append(bulk.run("benchmarks.bulk_tds", "full", env, zoho, postmaster))
            again.append(_timed(env, postmaster))
        engine = make_engine(postgres.url, pool_size=1)
        with engine.begin() as connection:
            connection.execute(_SPOIL, {"at": count // 2})
        spoilt = _run(env, 0, "product")
        with engine.connect() as connection:
            found = connection.execute(_REPORT, {"id": spoilt["id"]}).one()
        engine.dispose()
    seconds = {"unchanged_pass": median(each.seconds for each in passes), "first": first.seconds,
               "again": median(each.seconds for each in again)}  # fmt: skip
    cpu_seconds = {"unchanged_pass": median(each.cpu_seconds for each in passes), "first": first.cpu_seconds,
                   "again": median(each.cpu_seconds for each in again)}  # fmt: skip
    return {
        "records": count,
        **{f"{name}_seconds": round(value, 2) for name, value in seconds.items()},
        **{f"{name}_cpu_seconds": round(value, 2) for name, value in cpu_seconds.items()},
        "again_to_unchanged_pass": round(seconds["again"] / seconds["unchanged_pass"], 2),
        "again_to_unchanged_pass_cpu": round(cpu_seconds["again"] / cpu_seconds["unchanged_pass"], 2),
        "first_to_unchanged_pass": round(seconds["first"] / seconds["unchanged_pass"], 2),
        "peak_mb": max(each.peak_mb for each in (first, *again)),
        "spoilt_found": int(found.differing),
        "spoilt_seconds": round(spoilt["seconds"], 2),
    }


def measure(size: str = "full", products: int = 100_000) -> dict[str, Any]:
    """All three parts: their figures by name."""
    parts = {"matrix": matrix(), "organisation": whole_organisation(size), "large": many_products(products)}
    return {f"{part}_{name}": value for part, figures in parts.items() for name, value in figures.items()}


def main() -> None:
    """Command line: `python -m benchmarks.proof [--size NAME] [--products N] [--matrix] [--json]`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--matrix", action="store_true", help="the planted faults alone")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    figures = matrix() if chosen.matrix else measure(chosen.size, chosen.products)
    print(json.dumps(figures) if chosen.json else "\n".join(f"{key:36} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
