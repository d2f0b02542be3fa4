"""What TDS counts about itself, for Prometheus; safe with many processes when PROMETHEUS_MULTIPROC_DIR is set."""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, multiprocess
from prometheus_client.registry import REGISTRY

#: From a tenth of a second, the fastest a webhook becomes a row, to the hours an outage takes.
_FRESHNESS_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)

WEBHOOKS = Counter(
    "tds_webhooks",
    "Webhooks received, by what became of them: accepted, duplicate, quarantined, refused or unavailable.",
    ["entity", "result"],
)
WEBHOOK_REFUSALS = Counter("tds_webhook_refusals", "Webhooks refused or quarantined, by the problem's code.", ["code"])
INTAKE_BURST = Histogram(
    "tds_intake_burst_size", "Webhooks committed together.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 200)
)
INTAKE_SECONDS = Histogram(
    "tds_intake_commit_seconds",
    "Time to commit one burst of webhooks.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
FRESHNESS_SECONDS = Histogram(
    "tds_freshness_seconds", "From an event's receipt to its row's commit.", ["entity"], buckets=_FRESHNESS_SECONDS
)
SYNC_OUTCOMES = Counter("tds_sync_outcomes", "Records synced, by outcome.", ["entity", "outcome"])
SYNC_SECONDS = Histogram(
    "tds_sync_seconds",
    "Time to sync one batch of records, or one page of a run.",
    ["entity", "mode"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RETRIES = Counter("tds_retries", "Attempts that are to be made again, by what went wrong.", ["entity", "error"])
DEAD_LETTERS = Counter("tds_dead_letters_made", "Work given up until a person decides.", ["entity"])
API_CALLS = Counter("tds_api_calls", "Calls to a source, by group of endpoints and status.", ["group", "status"])
API_CALL_SECONDS = Histogram(
    "tds_api_call_seconds",
    "Time a source took to answer.",
    ["group"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
NUDGES = Counter("tds_nudges", "Messages telling workers to look, by result: sent or failed.", ["result"])


def scraped_registry() -> CollectorRegistry:
    """A registry that answers for all processes of this host when they share PROMETHEUS_MULTIPROC_DIR, else for this
    one. New each time for many processes, so callers may add collectors of their own to what they get.
    """
    registry = CollectorRegistry()
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.MultiProcessCollector(registry)
    else:
        registry.register(REGISTRY)
    return registry


def forget_process(pid: int) -> None:
    """Drop the live gauges of a process that ended; its counters stay counted."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(pid)
