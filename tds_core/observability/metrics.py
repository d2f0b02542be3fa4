"""Prometheus metrics of TDS, use of connection pools included.

Several processes are counted together when PROMETHEUS_MULTIPROC_DIR is set. Labels take few values, never ids or text
from senders; docs/metrics.md lists them, and a test compares.
"""

import os
from pathlib import Path
from typing import Any, cast

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from sqlalchemy import Engine, QueuePool, event

if "PROMETHEUS_MULTIPROC_DIR" in os.environ:  # metrics open their files where they are declared
    Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).mkdir(parents=True, exist_ok=True)

_disable_created: Any = disable_created_metrics  # it is not annotated
_disable_created()  # a second, unused series for each counter

webhooks = Counter(
    "tds_webhooks",
    "Webhooks received, by what became of them: accepted, duplicate, quarantined, refused or unavailable.",
    ["entity", "result"],
)
webhook_refusals = Counter("tds_webhook_refusals", "Webhooks refused or quarantined, by the problem's code.", ["code"])
intake_burst_size = Histogram(
    "tds_intake_burst_size", "Webhooks committed together.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 200)
)
intake_commit_seconds = Histogram(
    "tds_intake_commit_seconds",
    "Time to commit one burst of webhooks.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
freshness_seconds = Histogram(
    "tds_freshness_seconds",
    "From an event's receipt to its row's commit.",
    ["entity"],
    # from the fastest a webhook becomes a row to the hours an outage takes
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400),
)
sync_outcomes = Counter("tds_sync_outcomes", "Records synced, by outcome.", ["entity", "outcome"])
sync_seconds = Histogram(
    "tds_sync_seconds",
    "Time to sync one batch of records, or one page of a run.",
    ["entity", "mode"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
retries = Counter("tds_retries", "Attempts that are to be made again, by what went wrong.", ["entity", "error"])
dead_letters = Counter("tds_dead_letters", "Work given up until a person decides.", ["entity", "error"])
api_calls = Counter(
    "tds_api_calls", "Calls to a source, by API, path, class and status.", ["api", "path", "traffic", "status"]
)
api_call_seconds = Histogram(
    "tds_api_call_seconds",
    "Time a source took to answer.",
    ["api", "path"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
live_reads = Counter(
    "tds_live_reads", "Single records people asked for, by result: cached or asked.", ["entity", "result"]
)
breaker_rejections = Counter("tds_breaker_rejections", "Calls an open circuit breaker refused.", ["breaker"])
quota_wait_seconds = Histogram(
    "tds_quota_wait_seconds",
    "Time a call to a source waited for its turn.",
    ["traffic"],
    buckets=(0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10),
)
quota_refusals = Counter(
    "tds_quota_refusals", "Calls put off because their class had used up its share.", ["api", "traffic", "code"]
)
healing_actions = Counter(
    "tds_healing_actions", "What healing put right or told of, by action and outcome.", ["action", "outcome"]
)
outbound_seconds = Histogram(
    "tds_outbound_seconds",
    "Time receivers of change events took to answer, by result: delivered, refused or away.",
    ["result"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
)
nudges = Counter("tds_nudges", "Messages telling workers to look, by result: sent or failed.", ["result"])
request_seconds = Histogram(
    "tds_request_seconds",
    "Time TDS took to answer a request, by route and the hundred of its status.",
    ["route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
query_seconds = Histogram(
    "tds_query_seconds",
    "Time a statement of PostgreSQL took, by verb and the part of TDS its table belongs to.",
    ["verb", "part"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
)
slow_operations = Counter("tds_slow_operations", "What took longer than TDS_SLOW_SECONDS.", ["operation"])
pool_connections = Gauge(
    "tds_pool_connections",
    "Connections to the database in use, by pool, of all processes that live.",
    ["pool"],
    multiprocess_mode="livesum",
)
pool_limit = Gauge("tds_pool_limit", "Connections those pools may open.", ["pool"], multiprocess_mode="livesum")


# These call for different action; any other status counts as its hundred.
_STATUSES = frozenset({200, 201, 400, 401, 403, 404, 429, 500, 502, 503, 504})


def status_label(status: int) -> str:
    """An HTTP status as a label with few values: `404`, `4xx`."""
    return str(status) if status in _STATUSES else f"{status // 100}xx"


def watch_pool(engine: Engine, name: str) -> None:
    """Report the connections of `engine` in use, and its limit, as metrics of the pool `name`."""
    in_use = pool_connections.labels(name)
    in_use.set(0)
    pool_limit.labels(name).set(cast(QueuePool, engine.pool).size())

    @event.listens_for(engine, "checkout")
    def checked_out(_connection: Any, _record: Any, _proxy: Any) -> None:
        in_use.set(cast(QueuePool, engine.pool).checkedout())

    @event.listens_for(engine, "checkin")
    def checked_in(_connection: Any, _record: Any) -> None:
        in_use.set(max(0, cast(QueuePool, engine.pool).checkedout() - 1))  # this one is still counted
