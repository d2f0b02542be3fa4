"""Monitoring routes: liveness, readiness and metrics; with the gauges that each scrape reads from tables and Redis."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import structlog
from flask import Blueprint, Response, jsonify
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tds_api.auth.permissions import ANYBODY, needs
from tds_api.http.problems import problem
from tds_api.process_context import Context
from tds_api.resources.health import redis_status
from tds_core.alerts import queries as alert_queries
from tds_core.breakers.circuit import CircuitState
from tds_core.breakers.registry import Breakers
from tds_core.comparison import queries as comparison_queries
from tds_core.healing import stats as healing_stats
from tds_core.health import infrastructure
from tds_core.health.health import HealthState, score
from tds_core.health.infrastructure import evaluate, infrastructure_health
from tds_core.observability import heartbeats
from tds_core.observability.memory_usage import used_share
from tds_core.observability.multiprocess_collector import scraped_registry
from tds_core.quality import findings
from tds_core.queue import queries
from tds_core.schedule import job_store
from tds_core.sources.zoho.organization_connection import access_report
from tds_core.sources.zoho.quota.governor import Governor, open_governor
from tds_core.sources.zoho.quota.usage_snapshot import LimitUsage, QuotaUnknownError
from tds_core.statistics import freshness, reports
from tds_core.statistics.history import newest_figures
from tds_core.webhook_coverage import queries as webhook_coverage
from tds_models.db import session_scope
from tds_models.entities import ENTITIES

log = structlog.get_logger(__name__)

_HEALTH_FIGURES = {
    "dead_letters": ("tds_dead_letters_open", "Work given up until a person decides."),
    "events_without_verdict": ("tds_events_without_verdict", "Accepted events whose record is still owed a sync."),
    "open_runs": ("tds_runs_open", "Runs queued or under way."),
}


def monitoring_routes(context: Context) -> Blueprint:
    """Open routes, for the proxy in front of TDS to bind to an internal address."""
    routes = Blueprint("monitoring", __name__)
    governor = open_governor(context.settings)

    @routes.get("/healthz")
    @needs(ANYBODY)
    def alive() -> Response:
        """This process answers."""
        return jsonify(status="alive")

    @routes.get("/readyz")
    @needs(ANYBODY)
    def ready() -> Response:
        """The database is reachable and migrated. Without Redis work goes on, only slower."""
        return _readiness(context)

    @routes.get("/metrics")
    @needs(ANYBODY)
    def metrics() -> Response:
        """Counters of all processes, and gauges read now."""
        return Response(generate_latest(metrics_registry(context, governor)), content_type=CONTENT_TYPE_LATEST)

    return routes


def _readiness(context: Context) -> Response:
    try:
        with session_scope(context.engine) as session:
            revision = infrastructure.revision(session)
            zoho = access_report(session, context.settings) if infrastructure.is_migrated(revision) else None
    except SQLAlchemyError:
        return problem(status=503, code="not_ready", detail="The database cannot be reached or was never migrated.")
    if not infrastructure.is_migrated(revision):
        return problem(status=503, code="not_migrated", detail=f"The database is at {revision}; run `tds migrate`.")
    return jsonify(status="ready", database=revision, redis=redis_status(context.settings), zoho=zoho)


class GaugeCollector(Collector):
    """Gauges read at each scrape by `read`; when its store cannot be read, the rest of them is left out."""

    def __init__(self, read: Callable[[], Iterable[Gauge]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Gauge]:
        """The gauges as of now."""
        try:
            yield from self._read()
        except (SQLAlchemyError, QuotaUnknownError):
            return


def metrics_registry(context: Context, governor: Governor) -> CollectorRegistry:
    """The counters of all processes and every gauge, for one scrape."""
    registry = scraped_registry()
    for read in (
        partial(queue_gauges, context.engine),
        partial(health_gauges, context),
        partial(breaker_gauges, context.breakers),
        partial(finding_gauges, context.engine),
        partial(quota_gauges, governor),
        partial(worker_gauges, context.engine),
        partial(statistics_gauges, context),
        partial(webhook_coverage_gauges, context.engine),
        partial(comparison_gauges, context.engine),
        partial(alert_gauges, context.engine),
        partial(replica_gauges, context),
    ):
        registry.register(GaugeCollector(read))
    return registry


def replica_gauges(context: Context) -> Iterator[Gauge]:
    """How far the read replica is behind, if that is known, and whether it is read from."""
    status = context.reads.status()
    is_used = status is not None and status.is_used
    yield Gauge("tds_replica_used", "Whether reads that may lag go to the replica.", value=is_used)
    lag = Gauge("tds_replica_lag_seconds", "How far the replica is behind the primary.", labels=[])
    if status is not None and status.lag_seconds is not None:
        lag.add_metric([], status.lag_seconds)
    yield lag


def queue_gauges(engine: Engine) -> Iterator[Gauge]:
    """Depth and age of the queue, open work, process heartbeats, overdue slots; only tds_database_up 0 while away."""
    try:
        with session_scope(engine) as session:
            stats, figures = queries.queue_stats(session), queries.health_figures(session)
            silent, overdue = heartbeats.silent_seconds(session), job_store.overdue_seconds(session)
    except SQLAlchemyError as error:
        log.warning("gauges_unreadable", error=type(error).__name__)
        yield Gauge("tds_database_up", "Whether the database answered this scrape.", value=0)
        return
    yield Gauge("tds_database_up", "Whether the database answered this scrape.", value=1)
    depth = Gauge("tds_queue_depth", "Live work items.", labels=["entity", "state"])
    age = Gauge("tds_queue_oldest_due_seconds", "Age of the oldest due item.", labels=["entity"])
    for row in stats:
        depth.add_metric([row["entity"], "due"], row["due_count"])
        depth.add_metric([row["entity"], "waiting"], row["waiting_count"])
        depth.add_metric([row["entity"], "leased"], row["leased_count"])
        age.add_metric([row["entity"]], row["oldest_due_seconds"])
    yield depth
    yield age
    for name, (metric, meaning) in _HEALTH_FIGURES.items():
        yield Gauge(metric, meaning, value=figures.get(name, 0))
    yield _by("pulse", silent, "tds_pulse_silent_seconds", "Since a process last showed that it makes progress.")
    yield _by("job", overdue, "tds_schedule_overdue_seconds", "How long a slot is due that nobody took.")


def _by(label: str, values: Mapping[str, float], name: str, meaning: str) -> Gauge:
    gauge = Gauge(name, meaning, labels=[label])
    for value in sorted(values):
        gauge.add_metric([value], values[value])
    return gauge


def health_gauges(context: Context) -> Iterator[Gauge]:
    """Memory in use, urgent work, the health score, and the state of each component."""
    memory_share = used_share()
    yield Gauge("tds_memory_used_ratio", "Share of the memory in use where this is asked.", value=memory_share)
    with session_scope(context.engine) as session:
        measurements = infrastructure_health(session, context.settings)
    components = evaluate(measurements, context.settings, context.breakers)
    meaning = "Live work items without those of bulk reading."
    yield Gauge("tds_queue_backlog", meaning, value=measurements["depth"])
    meaning = "How long the oldest of them has been due, without those of paused entities; 0 where none is."
    yield Gauge("tds_queue_lag_seconds", meaning, value=max(0.0, measurements["oldest_due_seconds"] or 0.0))
    yield Gauge("tds_health_score", "From 0 to 100: how TDS does.", value=score(components))
    states = Gauge("tds_component_state", "1 for the state it is in.", labels=["component", "state"])
    for component in components:
        for state in HealthState:
            states.add_metric([component.name, state.value], float(component.state is state))
    yield states


def breaker_gauges(breakers: Breakers) -> Iterator[Gauge]:
    """The state of each circuit breaker."""
    states = Gauge("tds_breaker_state", "1 for the state it is in.", labels=["breaker", "state"])
    for breaker in breakers.states():
        for state in CircuitState:
            states.add_metric([breaker.name, state.value], float(breaker.state is state))
    yield states


def finding_gauges(engine: Engine) -> Iterator[Gauge]:
    """Open findings by kind and severity."""
    with session_scope(engine) as session:
        counts = findings.open_counts(session)
    gauge = Gauge("tds_findings_open", "Findings nobody has resolved.", labels=["kind", "severity"])
    for row in counts:
        gauge.add_metric([row["kind"], row["severity"]], row["count"])
    yield gauge


def quota_gauges(governor: Governor) -> Iterator[Gauge]:
    """Calls used and left. The minute and the calls at once are those of all products together."""
    usage = governor.usage()
    levels: list[tuple[str, str, LimitUsage]] = [
        ("all", "minute", usage.minute),
        ("all", "concurrent", usage.concurrent),
        *((day.api, "day", day.level) for day in usage.days.values()),
    ]
    used = Gauge("tds_quota_used", "Calls that count against a limit of Zoho.", labels=["api", "kind"])
    left = Gauge("tds_quota_left", "Calls the most urgent class may make.", labels=["api", "kind"])
    for api, kind, level in levels:
        used.add_metric([api, kind], level.used)
        if level.left is not None:
            left.add_metric([api, kind], level.left)
    yield used
    yield left


def worker_gauges(engine: Engine) -> Iterator[Gauge]:
    """Workers by state, and how long canaries on each queue have gone unanswered."""
    with session_scope(engine) as session:
        workers, queues = healing_stats.worker_counts(session), healing_stats.unanswered_seconds(session)
    states = Gauge("tds_workers", "Workers, by how they do.", labels=["state"])
    for state, count in workers.items():
        states.add_metric([state], count)
    yield states
    unheard = Gauge(
        "tds_queue_unheard_seconds", "Since when canaries on a queue go unheard; 0: they are heard.", labels=["queue"]
    )
    for queue, seconds in queues.items():
        unheard.add_metric([queue], seconds)
    yield unheard


def statistics_gauges(context: Context) -> Iterator[Gauge]:
    """Records of each entity as they were last counted, how fresh the mirror is, and how much of the work succeeds."""
    with session_scope(context.engine) as session:
        stored, ages = newest_figures(session, ENTITIES), freshness.freshness_seconds(session)
        rates = reports.success_rates(session, zone=context.settings.time_zone, windows=("1h", "24h"))
    meaning = "Records of the mirror as they were last counted: live, deleted or unconfirmed."
    records = Gauge("tds_mirror_records", meaning, labels=["entity", "state"])
    for entity, each in stored.items():
        for state in ("live", "deleted", "unconfirmed"):
            records.add_metric([entity, state], each["figures"][f"{state}_count"])
    yield records
    yield _by("entity", ages, "tds_mirror_age_seconds", "Since when changes at the source may not be known here.")
    known = {rate["window"]: rate["success_rate"] for rate in rates if rate["success_rate"] is not None}
    meaning = "Share of the work that ended which ended well, 0 to 1; none where nothing ended."
    yield _by("window", known, "tds_success_ratio", meaning)


def webhook_coverage_gauges(engine: Engine) -> Iterator[Gauge]:
    """The changes of 24 hours by how webhooks announced them, and the share announced in time, by entity."""
    with session_scope(engine) as session:
        found = webhook_coverage.summary(session)
    changes = Gauge(
        "tds_webhook_coverage_changes",
        "Changes of the last 24 hours, by how webhooks announced them.",
        labels=["entity", "announced"],
    )
    ratio = Gauge(
        "tds_webhook_coverage_ratio",
        "Share of the last 24 hours' changes that webhooks announced in time; absent without changes.",
        labels=["entity"],
    )
    for row in found["entities"]:
        if row["state"] in webhook_coverage.UNMEASURED:
            continue
        counts: dict[str, Any] = {**row}
        for name in webhook_coverage.COUNTS:
            changes.add_metric([row["entity"], name.removesuffix("_count")], counts[name])
        if row["coverage_ratio"] is not None:
            ratio.add_metric([row["entity"]], row["coverage_ratio"])
    yield changes
    yield ratio


def comparison_gauges(engine: Engine) -> Iterator[Gauge]:
    """What the newest comparison of each entity found, and how old the newest is that left nothing unproven."""
    with session_scope(engine) as session:
        reports = comparison_queries.latest_reports(session)
        ages = comparison_queries.proof_ages(session)
    ratio = Gauge(
        "tds_comparison_match_ratio", "Share of records the newest comparison found equal.", labels=["entity"]
    )
    differences = Gauge(
        "tds_comparison_differences", "Records the newest comparison found to differ.", labels=["entity"]
    )
    suspects = Gauge("tds_comparison_suspects", "Records the newest comparison could not decide.", labels=["entity"])
    for entity, report in reports.items():
        ratio.add_metric([entity], float(report["match_percent"]) / 100)
        differences.add_metric([entity], report["difference_count"])
        suspects.add_metric([entity], report["suspect_count"])
    yield from (ratio, differences, suspects)
    yield _by("entity", ages, "tds_comparison_age_seconds", "Since a comparison last left nothing unproven.")


def alert_gauges(engine: Engine) -> Iterator[Gauge]:
    """Alerts that are active, the messages of a day by channel, and since when no evaluation has ended."""
    with session_scope(engine) as session:
        alerts, messages = alert_queries.alert_counts(session), alert_queries.delivery_counts(session)
        ages = heartbeats.silent_seconds(session, ["alerts"])
    active = Gauge(
        "tds_alerts", "Alerts that are active, or whose rule cannot be measured.", labels=["rule", "severity", "state"]
    )
    for alert in alerts:
        active.add_metric([alert["rule"], alert["severity"], alert["state"]], alert["count"])
    sent = Gauge(
        "tds_alert_deliveries", "Messages of alerts of the last 24 hours, by their state.", labels=["channel", "state"]
    )
    for message in messages:
        sent.add_metric([message["channel"], message["state"]], message["count"])
    yield from (active, sent)
    meaning = "Since the rules of alerts were last evaluated."
    yield Gauge("tds_alert_evaluation_age_seconds", meaning, value=ages.get("alerts"))
