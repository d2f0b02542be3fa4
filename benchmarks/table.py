"""The table of a run: what TDS took, beside its floor and its peer, their ratio, and the goal.

A goal is about the ratio to the floor where there is one, else about the figure itself. Ratios are TDS divided by the
floor, so of seconds fewer are better and of rates more; `Goal` says which.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Figures = Mapping[str, Any]
COLUMNS = ("benchmark", "what", "TDS", "floor", "peer", "ratio", "goal", "met")


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound: at most, or with `is_least` at least, so much."""

    bound: float
    is_least: bool = False

    def is_met(self, value: float) -> bool:
        """Whether a value keeps to it."""
        return value >= self.bound if self.is_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.is_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: the names of its figures in what a benchmark answers."""

    benchmark: str
    what: str
    tds: str
    floor: str = ""
    peer: str = ""
    goal: Goal | None = None


def _at_least(bound: float) -> Goal:
    return Goal(bound, is_least=True)


ROWS = (
    Row("ingest", "durable webhooks a second; floor: same server, does nothing", "webhooks_per_s", "empty_door_per_s",
        goal=_at_least(0.25)),
    Row("ingest", "beside a Flask view that does nothing", "webhooks_per_s", "empty_per_s", goal=_at_least(0.5)),
    Row("ingest", "p99 at half of the peak, ms", "p99_ms_at_half_peak", goal=Goal(25)),
    Row("ingest", "beside the bare insert of the rows by a C program", "webhooks_per_s", "insert_per_s"),
    Row("ingest", "processor time a webhook in the API, µs", "cpu_us_per_webhook", "empty_door_cpu_us"),
    Row("ingest", "processor time a webhook in PostgreSQL, µs; floor: the bare insert", "postgres_cpu_us_per_webhook",
        "insert_postgres_cpu_us"),
    Row("webhook_to_row", "95 of 100 webhooks are a row, 5 changes a second, ms", "p95_ms_at_5", goal=Goal(100)),
    Row("webhook_to_row", "the same at 100 changes a second, ms", "p95_ms_at_100", goal=Goal(250)),
    Row("webhook_to_row", "cores busy at 100 changes a second, the stand-in's too", "cores_busy_at_100"),
    Row("webhook_database", "statements of a worker for one webhook", "worker_statements_of_1"),
    Row("webhook_database", "statements of a worker a webhook, 100 at once", "worker_statements_of_100"),
    Row("webhook_database", "bytes of PostgreSQL's log to take one in; floor: event and row without all else",
        "intake_log_bytes_of_1", "floor_log_bytes_of_1"),
    Row("webhook_database", "bytes of PostgreSQL's log to apply one", "worker_log_bytes_of_1"),
    Row("bulk_wide", "first load, 45 fields a record, s", "first_load_s", "floor_first_load_s", goal=Goal(1.5)),
    Row("bulk_wide", "reload, 1 % changed, s", "reload_s", "floor_reload_s", goal=Goal(2)),
    Row("bulk_wide", "reload beside a floor that asks for pages in order, s", "reload_s", "ordered_floor_reload_s"),
    Row("bulk_wide", "increment of 1 %, s", "incremental_s", "floor_incremental_s", goal=Goal(2)),
    Row("bulk_wide", "processor time of the first load, s", "first_load_cpu_s", "floor_first_load_cpu_s"),
    Row("bulk_wide", "processor time of the reload, s", "reload_cpu_s", "floor_reload_cpu_s"),
    Row("bulk", "first load from the sandbox, s; peer: dlt", "first_load_s", "floor_first_load_s", "dlt_first_load_s",
        Goal(2)),
    Row("bulk", "reload, 1 % changed, s; peer: dlt", "reload_s", "floor_reload_s", "dlt_reload_s", Goal(1.5)),
    Row("bulk", "increment of 1 %, s; peer: dlt", "incremental_s", "floor_incremental_s", "dlt_incremental_s"),
    Row("bulk", "peak memory, MB; peer: dlt", "first_load_peak_mb", "floor_first_load_peak_mb",
        "dlt_first_load_peak_mb"),
    Row("drain", "records a second; peer: a Celery task and an upsert each", "drained_per_s", "floor_per_s",
        "peer_per_s"),
    Row("drain", "records a second; peer: pgmq's statements, 100 at a time", "drained_per_s", peer="pgmq_per_s"),
    Row("drain", "records a second; peer: a Procrastinate job and an upsert each", "drained_per_s",
        peer="procrastinate_per_s"),
    Row("drain", "p99 of webhooks meanwhile, ms", "ingest_p99_ms", goal=Goal(100)),
    Row("drain", "records lost, doubled or different", "undone_or_doubled", goal=Goal(0)),
    Row("circuit_breakers", "a refused call, median µs", "refused_shared_median_us", goal=Goal(1000)),
    Row("quota", "calls that Zoho refused", "refused_by_zoho", goal=Goal(0)),
    Row("quota", "wait of live calls, 95th percentile, s", "wait_p95_live_s", goal=Goal(2)),
    Row("backlog", "1,000,000 records applied, a second; floor: the median tenth of them", "drained_per_s",
        "median_part_per_s"),
    Row("backlog", "of them undone, wrong or done twice", "undone_or_doubled", goal=Goal(0)),
    Row("backlog", "the slowest tenth, a second; floor: the median one", "slowest_part_per_s", "median_part_per_s"),
    Row("history_growth", "64 webhooks taken in, 1,000,000 events, ms; floor: with 10,000", "intake_64_ms_of_1000000",
        "intake_64_ms_of_10000"),
    Row("history_growth", "a claim of 100, ms; the same", "claim_100_ms_of_1000000", "claim_100_ms_of_10000"),
    Row("history_growth", "100 webhooks applied, ms; the same", "apply_100_ms_of_1000000", "apply_100_ms_of_10000"),
    Row("history_growth", "a record's story, ms; the same", "explain_ms_of_1000000", "explain_ms_of_10000"),
    Row("scaling", "details read a second, two workers to one", "details_per_s_2", "details_per_s_1",
        goal=_at_least(1.8)),
    Row("scaling", "details read a second, eight workers to one", "details_per_s_8", "details_per_s_1",
        goal=_at_least(6)),
    Row("full_sync", "seconds of a second full sync; floor: of the first", "second_seconds", "first_seconds",
        goal=Goal(0.2)),
    Row("full_sync", "calls for 600 edits; floor: the least Zoho's API allows", "hour_api_calls",
        "hour_least_api_calls", goal=Goal(1.2)),
    Row("full_sync", "differences after it", "hour_differences", goal=Goal(0)),
    Row("zoho_calls", "calls for 1,000 changes that webhooks tell whole; peer: a call each", "webhook_whole_calls",
        peer="webhook_whole_script"),
    Row("zoho_calls", "calls for 1,000 changes that webhooks only name; peer: a call each", "webhook_partial_calls",
        "webhook_partial_least", "webhook_partial_script"),
    Row("zoho_calls", "calls for 1,000 changes without webhooks; peer: a poller", "incremental_calls",
        "incremental_least", "incremental_script"),
    Row("zoho_calls", "calls of a full pass that finds 1,000 changes", "full_calls", "full_least"),
    Row("zoho_calls", "calls of a comparison behind a full pass", "comparison_following_calls", goal=Goal(0)),
    Row("zoho_calls", "calls for 1,000 views of 100 records; peer: without the cache", "views_cached_calls",
        "views_least", "views_uncached_calls"),
    Row("zoho_calls", "saved by webhooks, % of a call each", "webhook_whole_saved_percent", goal=_at_least(60)),
    Row("first_days", "calls for all headers; floor: pages that hold them", "list_calls", "list_calls_least"),
    Row("first_days", "calls that Zoho refused", "refused_by_zoho", goal=Goal(0)),
    Row("proof", "calls to find all planted differences", "matrix_api_calls", "matrix_api_calls_minimum"),
    Row("proof", "differences called for nothing", "matrix_false_positives", goal=Goal(0)),
    Row("proof", "100,000 products compared again, s; floor: an unchanged pass", "large_again_seconds",
        "large_unchanged_pass_seconds", goal=Goal(1.1)),
    Row("observability_overhead", "a request with metrics and logs, µs; floor: without", "request_us",
        "request_unseen_us", goal=Goal(1.15)),
    Row("observability_overhead", "a record in the worker, µs; floor: without", "worker_us", "worker_unseen_us"),
    Row("alert_crash_recovery", "messages owed after kills", "deliveries_owed", goal=Goal(0)),
    Row("alert_costs", "idle evaluation, % of a core", "idle_percent_of_a_core", goal=Goal(1)),
    Row("alert_costs", "10,000 pending alerts evaluated, s", "pending_evaluated_s", goal=Goal(5)),
    Row("soak", "memory that a program gained, % of its own", "most_grown_percent", goal=Goal(5)),
    Row("soak", "differences in the end", "differences", goal=Goal(0)),
    Row("soak", "alerts that fired", "alerts_fired", goal=Goal(0)),
)  # fmt: skip


def lines(results: Mapping[str, Figures]) -> Iterator[Sequence[str]]:
    """The lines of the table, by COLUMNS, of the benchmarks that `results` has figures of."""
    for row in ROWS:
        figures = results.get(row.benchmark, {})
        if row.tds not in figures or (row.floor and row.floor not in figures):
            continue
        value, floor = figures[row.tds], figures.get(row.floor)
        ratio = value / floor if floor else None
        judged = value if ratio is None else ratio
        met = "" if row.goal is None else "yes" if row.goal.is_met(judged) else "NO"
        peer = figures.get(row.peer)
        yield (
            row.benchmark, row.what, _spelled(value), _spelled(floor), _spelled(peer), _spelled(ratio),
            str(row.goal or ""), met,
        )  # fmt: skip


def _spelled(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
