"""What happens in a healthy installation raises no alert: nights, weekends, deploys, full syncs, short faults.

A scenario is a list of states of the database, each of which lasts so many seconds; all rules are measured in each of
them and stepped every 15 seconds, as the evaluation does.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tds_core.alerts.evaluation import measure
from tds_core.alerts.rule_terms import declared_terms
from tds_core.alerts.rules import RULES
from tds_core.alerts.state_machine import AlertRecord, end, meet
from tds_core.webhook_coverage.gap_findings import GAPS
from tds_models.alerts import AlertState
from tds_models.findings import Severity
from tests.support import alert_faults as faults
from tests.support.alert_faults import Act, run, sql
from tests.support.installation import Installation, installation

EVERY = 15.0
QUIET = (AlertState.OK, AlertState.PENDING, AlertState.RESOLVED)


@pytest.fixture
def here(engine: Engine, tmp_path: Path, redis_url: str) -> Installation:
    return installation(engine, str(tmp_path), redis_url)


def fired(here: Installation, phases: Sequence[tuple[Act, float]]) -> list[str]:
    """The rules whose alerts fire while these states last."""
    now, alerts, names = datetime(2026, 11, 1, tzinfo=UTC), {}, []
    for act, seconds in phases:
        act(here)
        measured = measure(RULES, here.facts())
        met = {
            (rule.name, reading.subject): (rule, reading)
            for rule in RULES
            for reading in measured.readings.get(rule.name, ())
            if rule.is_met(reading.value, rule.threshold)
        }
        until = now + timedelta(seconds=seconds)
        while now <= until:
            for key, (rule, reading) in met.items():
                before = alerts.get(key) or AlertRecord(rule=rule.name, subject=key[1], severity=rule.severity)
                alerts[key] = meet(before, reading, declared_terms(rule), now).after
            for key in alerts.keys() - met.keys():
                rule = next(each for each in RULES if each.name == key[0])
                alerts[key] = end(alerts[key], declared_terms(rule), now).after
            names += [f"{key[0]} {key[1]}: {alert.summary}" for key, alert in alerts.items()
                      if alert.state not in QUIET]  # fmt: skip
            now += timedelta(seconds=EVERY)
    return sorted(set(names))


def all_of(*acts: Act) -> Act:
    def act(here: Installation) -> None:
        for each in acts:
            each(here)

    return act


def start(here: Installation) -> None:
    here.start()


def timetable(here: Installation) -> None:
    """The timetable is in force, and all its slots until now were taken."""
    faults.seed_timetable(here)
    here.execute("update tds_scheduled_jobs set updated_at = now()")


def stopped(process: str = "here:1:worker") -> Act:
    return sql(
        "update tds_listeners set ended_at = clock_timestamp(), end_reason = 'stopped' where process = :process",
        process=process,
    )


def started(process: str) -> Act:
    return lambda here: here.report(process)


def died(process: str = "here:1:worker", *, seconds: float = 40) -> Act:
    return lambda here: here.age_worker(seconds, process)


def asleep(hours: float, *, age: float) -> Act:
    """Everything was stopped so long ago, and this process alone has been started, so many seconds ago."""

    def act(here: Installation) -> None:
        here.start()
        timetable(here)
        run("completed", "incremental", ago=hours * 3600)(here)
        here.execute("update tds_scheduled_jobs set updated_at = now() - make_interval(hours => :h)", h=int(hours))
        here.age_pulse("dispatcher", hours * 3600)
        here.age_pulse("beat", hours * 3600)
        here.age_worker(hours * 3600)
        here.execute("delete from tds_sync_queue")
        faults._items(30, due=hours * 3600)(here)
        here.machine["process_age_seconds"] = age

    return act


def awake(here: Installation) -> None:
    here.start()
    here.report("here:9:worker")
    timetable(here)
    here.execute("delete from tds_sync_queue")


def changes(count: int, origin: str) -> Act:
    return sql(
        "insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, correlation_id)"
        " select 'zoho', 'product', n::text, 1, 'updated', '{}', :origin, 'c' from generate_series(1, :count) n",
        origin=origin, count=count,
    )  # fmt: skip


BULK = 108
RESTING = sql("insert into tds_backfill_rests (source, api, rests_until, reason)"
              " values ('zoho', 'inventory', now() + interval '1 hour', 'its share of the quota is used')")  # fmt: skip
LEASED_RUN = sql("update tds_sync_runs set lease_token = gen_random_uuid(), leased_until = now() + interval '15 s'")
FIRST_PASS = all_of(
    start, timetable, run("running"), LEASED_RUN, run("queued", entity="invoice"),
    faults._items(20_000, due=3600, priority=BULK),
)  # fmt: skip
ONE_BAD_RECORD = sql(
    "insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, correlation_id)"
    " select 'zoho', 'product', case when n <= 6 then 'bad' else n::text end, 1, 1,"
    " case when n <= 6 then 'retry' else 'updated' end, 'c' from generate_series(1, 30) n"
)
COMPARING = sql("""
with c as (insert into tds_comparisons (source, requested_by, requested_at, seed, correlation_id)
    values ('zoho', 'schedule', now() - interval '3 hours', 1, 'c') returning id)
insert into tds_comparison_reports (comparison_id, entity, run_id) select id, 'product', 1 from c
""")
COMPARISON_RUN = all_of(run("running", "comparison", ago=3 * 3600), LEASED_RUN)
MOVING_RUN = all_of(run("running", ago=5 * 3600), LEASED_RUN, sql(
    "insert into tds_sync_run_pages (run_id, page, source_ids, fetch_seconds, apply_seconds, read_at)"
    " select id, 900, '{}', 1, 1, now() - interval '5 minutes' from tds_sync_runs"))  # fmt: skip
WAITING_RUN = all_of(run("running", ago=9 * 3600), sql(
    "update tds_sync_runs set next_attempt_at = now() + interval '6 hours', end_reason = 'quota'"))  # fmt: skip
PAUSED_SOURCE = sql("insert into tds_source_tokens (source, paused_until, pause_reason)"
                    " values ('zoho', now() + interval '40 seconds', 'rate_limited: HTTP 429')")  # fmt: skip
NIGHT = all_of(start, timetable, faults.rhythm(0, silent_hours=9), run("completed", "incremental", ago=600))
WITHOUT_HISTORY = sql("delete from tds_statistics_history")

SCENARIOS: dict[str, list[tuple[Act, float]]] = {
    "a fresh installation": [(faults.nothing, 3600)],
    "a fresh installation that was started": [(all_of(start, timetable), 3600)],
    "an installation that was never connected": [(all_of(start, timetable, faults._never_connected), 86_400)],
    "a first full sync under way": [(FIRST_PASS, 86_400)],
    "a demo that was just started": [
        (all_of(start, faults.seed_timetable, faults.events(30, 2, ago=10), faults._items(200)), 0),
        (all_of(timetable, faults._DONE, run("completed"), run("completed", "incremental")), 3600),
    ],
    "an installation of five hours without a comparison": [(all_of(start, timetable, faults.mirrored(5)), 3600)],
    "a quiet night": [(NIGHT, 8 * 3600)],
    "a weekend on which nobody ever works": [
        (all_of(start, timetable, faults.rhythm(0, silent_hours=23)), 86_400)
    ],
    "a holiday on which polling finds nothing": [
        (all_of(start, timetable, faults.rhythm(50, silent_hours=20), run("completed", "incremental", ago=600)), 86_400)
    ],
    "a week after the first webhook, on its first quiet day": [
        (all_of(start, timetable, faults.rhythm(50, silent_hours=20, weeks=1)), 3600)
    ],
    "an installation without webhooks, whose changes are polled": [
        (all_of(start, timetable, changes(500, "run"), run("completed", "incremental")), 3600)
    ],
    "a deploy: everything is gone for 20 seconds": [
        (all_of(start, stopped()), 0),
        (all_of(died(seconds=20), lambda here: here.age_pulse("dispatcher", 20),
                lambda here: here.age_pulse("beat", 20)), 0),
        (all_of(start, started("here:2:worker")), 3600),
    ],
    "tds workers stop; tds workers start": [
        (all_of(start, stopped()), 15),
        (all_of(started("here:2:worker"), start), 3600),
    ],
    "workers that are stopped, and take a minute to start on a busy machine": [
        (all_of(start, stopped()), 15),
        (died(seconds=45), 15),
        (died(seconds=70), 15),
        (all_of(started("here:2:worker"), start), 3600),
    ],
    "a container that was killed and replaced": [
        (all_of(start, started("b:1:worker"), died("b:1:worker")), 15),
        (started("c:1:worker"), 86_400),
    ],
    "containers replaced one after the other": [
        (all_of(start, started("b:1:worker"), died("b:1:worker"), started("b:2:worker")), 60),
        (all_of(died(), started("a:2:worker")), 86_400),
    ],
    "all started anew with fewer workers": [
        (all_of(start, started("b:1:worker"), started("c:1:worker"), died(), died("b:1:worker"), died("c:1:worker"),
                started("d:1:worker")), 86_400)
    ],
    "a start after a weekend off": [(asleep(60, age=3), 0), (asleep(60, age=18), 0), (awake, 1200)],
    "a restart of PostgreSQL": [
        (all_of(start, lambda here: here.age_pulse("dispatcher", 20), lambda here: here.age_pulse("beat", 20),
                died(seconds=20)), 0),
        (start, 3600),
    ],
    "a restart of Redis": [(all_of(start, faults._redis_away), 0), (faults._redis_back, 600)],
    "a nightly full sync": [
        (all_of(start, timetable, run("running"), LEASED_RUN, faults._items(50_000, due=7200, priority=BULK)), 4 * 3600)
    ],
    "back-fill that waits for its share of the quota": [
        (all_of(start, faults._items(9000, due=9 * 3600, priority=BULK, entity="invoice"), RESTING), 3600)
    ],
    "an import that is worked off in half a minute": [
        (all_of(start, faults._items(3000, due=5)), 15), (faults._DONE, 600)
    ],
    "a short 429": [(all_of(start, faults._limited(1), PAUSED_SOURCE), 45), (faults._LONG_AGO, 600)],
    "a breaker that opens for a moment": [
        (all_of(start, faults._failures(faults.INVOICES, 5)), 15), (faults._closed, 600)
    ],
    "one record that fails again and again": [(all_of(start, ONE_BAD_RECORD), 3600)],
    "a comparison that is still running": [
        (all_of(start, timetable, faults.mirrored(27), COMPARISON_RUN, COMPARING), 3600)
    ],
    "a long run that moves": [(all_of(start, MOVING_RUN), 3600)],
    "a run that waits for tomorrow's quota": [(all_of(start, WAITING_RUN), 6 * 3600)],
    "a dry run and a comparison that failed": [
        (all_of(start, run("completed", ago=90), run("failed", "dry_run"), run("failed", "comparison")), 3600)
    ],
    "a queue an operator paused for half an hour": [
        (all_of(start, faults._items(3000, due=1800), faults._paused(1800)), 1800)
    ],
    "a job an operator paused for an hour": [(all_of(start, faults._job_paused(3600)), 3600)],
    "a job that failed once": [
        (all_of(start, faults._slots("queue-health", "failed", "completed", every=60, cron="every:60")), 60)
    ],
    "slots that were left out while TDS was off": [(all_of(start, faults._slots("stock-sync", "skipped", "skipped",
                                                    every=1, cron="*/15 * * * *")), 3600)],
    "workers that are busy for two minutes": [
        (all_of(start, lambda here: here.report(busy_count=2), lambda here: here.age_pulse("beat", 120)), 600)
    ],
    "some dead letters of today": [(all_of(start, faults._dead_letters(60, hours=5)), 3600)],
    "old dead letters that are somebody's": [
        (all_of(start, faults._dead_letters(20, hours=200), faults._ASSIGNED), 86_400)
    ],
    "few changes, some of which no webhook told of": [(all_of(start, faults._covered(3, 2)), 86_400)],
    "some slow events among many": [(all_of(start, faults.events(100, 2)), 600)],
    "a lock held by a short transaction": [
        (all_of(start, faults._items(2, last_error="'waits for a lock on erp.product 1'")), 45), (faults._DONE, 600)
    ],
    "a permission that was doubted for a minute": [
        (all_of(start, faults._refuse_module), 90), (faults.FAULTS["missing_permission"].end, 600)
    ],
    "an older process beside a newer schema": [(all_of(start, faults._revision("of the future")), 3600)],
    "a subscription an operator paused": [(all_of(start, faults._subscription("paused")), 3600)],
    "a few stray requests at the webhook's address": [
        (all_of(start, faults.forge(9), faults.forge(200, "unknown_entity")), 3600)
    ],
    "findings that are notes and warnings": [
        (all_of(start, faults.found(GAPS, Severity.NOTE), faults.found("schema_drift", Severity.WARNING)), 3600)
    ],
    "an old validation report": [
        (all_of(start, faults._validated(500),
                sql("update tds_validation_reports set ended_at = now() - interval '8 days'")), 3600)
    ],
    "a busy machine": [(all_of(start, faults._machine("memory_share", 0.95)), 300),
                       (faults._machine("memory_share", 0.6), 600)],
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS, ids=lambda name: name.replace(" ", "-"))
def test_what_happens_in_a_healthy_installation_raises_no_alert(name: str, here: Installation) -> None:
    assert fired(here, SCENARIOS[name]) == []


def test_scenarios_are_many() -> None:
    assert len(SCENARIOS) > 30


def test_what_does_not_start_after_a_weekend_off_is_told_of_within_a_minute(here: Installation) -> None:
    phases = [(asleep(60, age=age), 0) for age in (3, 18, 33, 48)]
    assert {each.partition(" ")[0] for each in fired(here, phases)} == {"beat_silent", "dispatcher_silent", "no_worker"}


def test_a_fault_that_lasts_is_seen_by_the_same_steps(here: Installation) -> None:
    found = fired(here, [(start, 60), (faults._workers_since(40), 60), (faults._items(1001, due=40), 60)])
    assert [each.partition(" ")[0] for each in found] == ["backlog", "no_worker"]
