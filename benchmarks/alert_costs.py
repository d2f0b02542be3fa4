"""What alerts cost: processor time of evaluating the whole catalogue when all is quiet, and 10,000 pending alerts."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import structlog
from sqlalchemy import Engine, text

from benchmarks.alert_crash_recovery_child import conditions
from tds_core.alerts.evaluation import EVERY_SECONDS, Evaluator
from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule
from tds_core.breakers.registry import Breakers
from tds_core.config.settings import load_settings
from tds_core.schema.migrations import upgrade
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis
from tds_models.alerts import AlertSeverity
from tds_models.db import make_engine, session_scope

IDLE_SECONDS, ALERTS = 180.0, 10_000

_SUBJECTS = "insert into bench_conditions select 'subject ' || n from generate_series(1, :count) n"
_BACKENDS = "select pid from pg_stat_activity where application_name = 'tds-alerts'"
_PENDING = Rule(
    name="pending", title="Pending", severity=AlertSeverity.ERROR, measure=conditions, threshold=0.5, unit="state",
    cause="a script", automatic="nothing", command="tds alerts list", for_seconds=3600,
)  # fmt: skip


def measure(idle_seconds: float = IDLE_SECONDS, alerts: int = ALERTS) -> dict[str, Any]:
    """Milliseconds of processor time for each 15 s in which nothing happens; seconds to evaluate pending alerts."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    home = Path(tempfile.mkdtemp(prefix="tds-bench-"))
    home.chmod(0o755)
    try:
        with EmbeddedPostgres(home) as server, EmbeddedRedis(home) as broker:
            upgrade(server.url)
            engine = make_engine(server.url, pool_size=4, application="tds-bench")
            with engine.begin() as connection:
                connection.execute(text("create table bench_conditions (subject text primary key)"))
            environ = {"TDS_DATABASE_URL": server.url, "TDS_REDIS_URL": broker.url, "TDS_HOME": str(home)}
            figures = {**_idle(engine, environ, idle_seconds), **_pending(engine, environ, alerts)}
            engine.dispose()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return figures


@contextmanager
def _looping(environ: Mapping[str, str]) -> Iterator[psutil.Process]:
    """A process that evaluates the catalogue as the dispatcher does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    argv = [sys.executable, "-m", "benchmarks.alert_crash_recovery_child", str(EVERY_SECONDS), "60", "catalogue"]
    with (Path(environ["TDS_HOME"]) / "log").open("wb") as log:
        process = subprocess.Popen(argv, env={**kept, **environ}, stdout=log, stderr=log)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _idle(engine: Engine, environ: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Of the process and of its connections' backends, from its second evaluation on."""
    with _looping(environ) as loop:
        time.sleep(min(20.0, seconds))
        with engine.connect() as connection:
            backends = [psutil.Process(row.pid) for row in connection.execute(text(_BACKENDS))]
        began, before = time.monotonic(), [_seconds(each) for each in (loop, *backends)]
        time.sleep(seconds)
        spent = [_seconds(each) - was for each, was in zip((loop, *backends), before, strict=True)]
        periods = (time.monotonic() - began) / EVERY_SECONDS
    return {
        "idle_process_ms_per_15_s": round(spent[0] / periods * 1000, 1),
        "idle_postgres_ms_per_15_s": round(sum(spent[1:]) / periods * 1000, 1),
        "idle_percent_of_a_core": round(sum(spent) / periods / EVERY_SECONDS * 100, 2),
    }


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _pending(engine: Engine, environ: Mapping[str, str], count: int) -> dict[str, Any]:
    """An evaluation that finds so many alerts pending already, and the one before that made them."""
    with engine.begin() as connection:
        connection.execute(text(_SUBJECTS), {"count": count})
    evaluator, settings, took = Evaluator([_PENDING]), load_settings(environ), []
    for _ in range(3):
        began = time.perf_counter()
        evaluator.evaluate(AlertFacts(lambda: session_scope(engine), settings, Breakers()))
        took.append(time.perf_counter() - began)
    return {
        "pending_alerts": count, "pending_made_s": round(took[0], 2), "pending_evaluated_s": round(min(took[1:]), 2)
    }  # fmt: skip


def main() -> None:
    """Print the figures."""
    print(json.dumps(measure(*map(float, sys.argv[1:2])), indent=1))


if __name__ == "__main__":
    main()
