"""Every benchmark runs: what it measures beside the product is made of the product's own parts, and they change."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import capacity, dashboard, list_endpoints, seed, table
from benchmarks.__main__ import BENCHMARKS, TRIALS

pytestmark = pytest.mark.acceptance

#: Those whose figures tests of their own look at.
ELSEWHERE = {"quota", "full_sync", "first_days"}

#: Their figures are called by their size, which a trial's is not.
OF_OTHER_SIZES = {"history_growth"}
#: Trials start two workers, and few changes a second.
NOT_IN_TRIALS = {"details_per_s_8", "p95_ms_at_100", "cores_busy_at_100", "worker_statements_of_100"}


def test_every_benchmark_has_a_trial() -> None:
    assert list(TRIALS) == list(BENCHMARKS)
    assert [name for name in ELSEWHERE if not Path(__file__).with_name(f"test_{name}.py").exists()] == []


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in ELSEWHERE])
def test_a_benchmark_runs_and_tells_its_figures(name: str) -> None:
    command = [sys.executable, "-m", "benchmarks", name, "--trial", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout)[name]
    assert figures
    assert all(isinstance(value, int | float | list | None) for value in figures.values()), figures
    broken = [each for each in figures if each.endswith(("differences", "undone_or_doubled", "owed")) and figures[each]]
    assert broken == []
    if name not in OF_OTHER_SIZES:
        shown = {each for row in table.ROWS if row.benchmark == name for each in (row.tds, row.floor) if each}
        assert shown - figures.keys() <= NOT_IN_TRIALS


def test_the_table_shows_ratios_beside_their_goals() -> None:
    measured = {
        "bulk_wide": {
            "first_load_s": 3.0,
            "floor_first_load_s": 2.0,
            "reload_s": 5.0,
            "floor_reload_s": 2.0,
            "ordered_floor_reload_s": 4.0,
        },
        "ingest": {"webhooks_per_s": 5000, "empty_door_per_s": 10_000},
        "quota": {"refused_by_zoho": 1},
    }
    shown = {line[1]: line[2:] for line in table.lines(measured)}
    assert [line[3:] for line in shown.values()] == [
        ("0.5", "≥ 0.25", "yes"), ("1.5", "≤ 1.5", "yes"), ("2.5", "≤ 2", "NO"), ("1.25", "", ""), ("", "≤ 0", "NO"),
    ]  # fmt: skip
    assert {row.benchmark for row in table.ROWS} <= BENCHMARKS.keys()


SMALL = seed.Size(events=400, attempts=100, letters=80, runs=80, changes=400, records=100)


def test_the_pages_are_all_answered() -> None:
    assert min(list_endpoints.measure(SMALL, rounds=1).values()) > 0


def test_the_dashboard_is_measured_and_light() -> None:
    figures = dashboard.measure(SMALL, rounds=1)
    assert len(figures) > 20
    assert statistics.median(each.first_bytes for each in figures) < 100_000
    assert statistics.median(each.poll_bytes for each in figures) < 15_000
    assert {each.status for each in figures} == {200}
    moving = {each.path for each in figures if each.unchanged_bytes}  # those that say how old waiting work is
    assert moving <= {"/dashboard", "/dashboard/queue"}


def test_the_model_of_capacity_names_what_gives_first() -> None:
    row = {"webhooks_per_s_at_5": 5.0, "webhooks_per_s_at_100": 105.0, "cores_busy_at_5": 0.2}
    row |= {"cores_of_api_at_5": 0.01, "cores_of_api_at_100": 0.11, "cores_of_workers_at_5": 0.05}
    row |= {"cores_of_workers_at_100": 0.45, "cores_of_postgres_at_5": 0.05, "cores_of_postgres_at_100": 0.25}
    database = {"intake_log_bytes_of_10": 2500.0, "worker_log_bytes_of_10": 4500.0}
    kept = {"webhook_to_row": row, "webhook_database": database, "scaling": {"details_per_s_1": 10.0}}
    known = capacity.coefficients({name: {"figures": figures} for name, figures in kept.items()})
    assert (known.api, known.worker, known.postgres) == pytest.approx((0.001, 0.004, 0.002))
    assert (known.log_bytes, known.details_per_task) == (7000.0, 5.0)
    one = capacity.Installation(hosts=1, workers=2, cores=2, api_cores=1, postgres_cores=2)
    assert capacity.highest_rate(known, one) == (pytest.approx(500), "workers")
    more = capacity.Installation(hosts=4, workers=2, cores=2, api_cores=8, postgres_cores=2)
    assert capacity.highest_rate(known, more) == (pytest.approx(1000), "PostgreSQL")
    day = capacity.simulate(known, one, capacity.Organization(webhooks_per_s=50, records=1_100_000))
    assert day["webhooks_a_day"] == pytest.approx(50 * 86_400, rel=0.05)
    assert (day["gives_first"], day["calls_to_quota"] > 1, day["longest_wait_s"] < 60) == ("workers", True, True)
    crowded = capacity.simulate(known, one, capacity.Organization(webhooks_per_s=400))
    assert crowded["longest_wait_s"] > 60
