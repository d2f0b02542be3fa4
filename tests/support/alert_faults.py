"""Faults of the catalogue of alerts: by rule, how its fault is made beyond the threshold, just below it, and ended."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography.fernet import Fernet
from sqlalchemy import text

from tds_core.audit_trail import rolling_verification, seal_keys
from tds_core.audit_trail import seal as audit_seal
from tds_core.errors import PermissionMissingError, TransientError
from tds_core.health.infrastructure import known_revisions
from tds_core.inbox.rejected import Rejection, keep_rejected
from tds_core.inbox.unstored_counts import UnstoredTally, add_unstored
from tds_core.quality import findings
from tds_core.queue import pauses
from tds_core.schedule import job_store
from tds_core.sources import missing_permissions
from tds_core.sources.base import Traffic
from tds_core.sources.zoho.quota.governor import open_governor
from tds_core.webhook_coverage.gap_findings import RULE_MISSING, RULE_OFF
from tds_models.db import session_scope
from tds_models.findings import Severity
from tds_tasks import celeryconfig
from tests.support.database_role import superuser
from tests.support.installation import Installation

Act = Callable[[Installation], None]


def nothing(_: Installation) -> None:
    """There is nothing between this fault and none."""


@dataclass(frozen=True)
class Fault:
    """The fault of a rule. `subject`: of the reading; `below`: as much of it as is still in order."""

    make: Act
    end: Act
    below: Act = nothing
    subject: str = ""


FAULTS: dict[str, Fault] = {}


def sql(statement: str, **params: Any) -> Act:
    """An act that executes a statement."""
    return lambda installation: installation.execute(statement, **params)


# Processes


def _redis_away(installation: Installation) -> None:
    installation.environ["TDS_REDIS_URL_BEFORE"] = installation.environ["TDS_REDIS_URL"]
    installation.environ["TDS_REDIS_URL"] = "redis://127.0.0.1:1/0"


def _redis_back(installation: Installation) -> None:
    installation.environ["TDS_REDIS_URL"] = installation.environ.pop("TDS_REDIS_URL_BEFORE")


def _pulse(name: str, seconds: float) -> Act:
    return lambda installation: installation.age_pulse(name, seconds)


def _job(name: str, cron: str = "every:60", *, since: float = 86_400 * 3) -> Act:
    return sql(
        "insert into tds_scheduled_jobs (name, cron, task, updated_at)"
        " values (:name, :cron, 'measure', now() - make_interval(secs => :since))"
        " on conflict (name) do update set updated_at = excluded.updated_at, cron = excluded.cron",
        name=name, cron=cron, since=since,
    )  # fmt: skip


def _slots(job: str, *results: str, every: float = 86_400, cron: str = "0 2 * * *") -> Act:
    """The newest slots of a job, the newest first."""

    def made(installation: Installation) -> None:
        _job(job, cron)(installation)
        installation.execute("delete from tds_schedule_slots where job = :job", job=job)
        for number, result in enumerate(results, 1):
            installation.execute(
                "insert into tds_schedule_slots (job, slot_at, ended_at, result)"
                " values (:job, now() - make_interval(secs => :age), now(), :result)",
                job=job, age=number * every, result=result,
            )  # fmt: skip

    return made


FAULTS["redis_lost"] = Fault(_redis_away, _redis_back)
FAULTS["dispatcher_silent"] = Fault(_pulse("dispatcher", 17), _pulse("dispatcher", 0), _pulse("dispatcher", 13))
FAULTS["beat_silent"] = Fault(_pulse("beat", 32), _pulse("beat", 0), _pulse("beat", 28))
FAULTS["schedule_overdue"] = Fault(
    _job("queue-health", since=420), sql("delete from tds_scheduled_jobs"), _job("queue-health", since=280)
)
FAULTS["slot_missed"] = Fault(
    _slots("retention", "failed", "completed"),
    _slots("retention", "completed", "failed"),
    _slots("retention", "failed", "lost", "completed", every=60, cron="every:60"),
    subject="retention",
)


def _refused(installation: Installation) -> None:
    """Zoho refuses the access it once gave."""
    installation.execute(
        "insert into tds_source_tokens (source, refresh_token, refused_at, refusal) values ('zoho', 'x', now(), 'no')"
        " on conflict (source) do update set refused_at = now(), refusal = 'no', refresh_token = 'x'"
    )


def _never_connected(installation: Installation) -> None:
    """Work that was scheduled before there was a connection stored a refusal all the same."""
    installation.execute(
        "insert into tds_source_tokens (source, refused_at, refusal) values ('zoho', now(), 'not connected to Zoho')"
    )


_ACCEPTED = sql("update tds_source_tokens set refused_at = null, refusal = null")


def _sick(installation: Installation) -> None:
    _refused(installation)
    _dead_letters(101)(installation)


def _well(installation: Installation) -> None:
    _ACCEPTED(installation)
    _RESOLVED(installation)


# Workers


def _workers_since(seconds: float) -> Act:
    return lambda installation: installation.age_worker(seconds)


def _gone(seconds: float) -> Act:
    """A worker beside the one that goes on died so long ago."""

    def died(installation: Installation) -> None:
        installation.age_worker(0)
        installation.report("there:2:second")
        installation.age_worker(seconds, "there:2:second", started=seconds + 3600)

    return died


def _replaced(installation: Installation) -> None:
    installation.age_worker(0)
    installation.report("there:3:third")


def _canaries(count: int) -> Act:
    return sql(
        "insert into tds_canaries (queue, nonce, unanswered_count, unanswered_since)"
        " values ('tds.low', gen_random_uuid(), :count, now() - interval '61 seconds')"
        " on conflict (queue) do update set unanswered_count = excluded.unanswered_count",
        count=count,
    )


FAULTS["no_worker"] = Fault(_workers_since(28), _workers_since(0), _workers_since(22))
FAULTS["worker_silent"] = Fault(_gone(62), _replaced, _gone(55))
FAULTS["queue_unheard"] = Fault(_canaries(3), sql("delete from tds_canaries"), _canaries(2))


# The source


def _failures(name: str, count: int, message: str = "HTTP 503") -> Act:
    def failed(installation: Installation) -> None:
        breakers = installation.breakers
        for _ in range(count):
            with suppress(TransientError), breakers.guard(name):
                raise TransientError(message)

    return failed


def _closed(installation: Installation) -> None:
    breakers = installation.breakers
    for state in breakers.states():
        breakers.reset(state.name, by="test")


UNTRUSTED = "https://zoho.invalid: no answer (SSLError: its certificate is not trusted here)"
INVOICES = "zoho.books.invoices"


def _refuse_module(installation: Installation) -> None:
    error = PermissionMissingError("code 57", api="books", path="invoices", scope="ZohoBooks.invoices.READ")
    with session_scope(installation.engine) as session:
        missing_permissions.record_refusal(session, "zoho", error)


FAULTS["zoho_refused"] = Fault(_refused, _ACCEPTED, _never_connected)
FAULTS["source_certificate"] = Fault(_failures(INVOICES, 5, UNTRUSTED), _closed, _failures(INVOICES, 5))
FAULTS["breaker_open"] = Fault(_failures(INVOICES, 5), _closed, _failures(INVOICES, 4), subject=INVOICES)
FAULTS["missing_permission"] = Fault(
    _refuse_module, sql("delete from tds_missing_permissions"), subject="books.invoices"
)


# The quota


def _calls(count: int, per_day: int) -> Act:
    """So many calls for webhooks, where so many are allowed; the day ends in about twelve hours."""

    def called(installation: Installation) -> None:
        hour = datetime.now(UTC).hour
        offset = 12 - hour  # it is noon there
        installation.environ |= {
            "ZOHO_BOOKS_CALLS_PER_DAY": str(per_day),
            "ZOHO_QUOTA_ZONE": f"Etc/GMT{-offset:+d}",
            "ZOHO_ORGANIZATION_ID": "1",
        }
        governor = open_governor(installation.settings)
        for _ in range(count):
            with governor.admit(api="books", traffic=Traffic.LIVE):
                pass

    return called


def _counted_anew(installation: Installation) -> None:
    """Calls of another organisation are others' calls."""
    installation.environ["ZOHO_ORGANIZATION_ID"] = "2"


def _limited(minutes: int) -> Act:
    return sql(
        "insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, error_class, exchange,"
        " correlation_id, ended_at) select 'zoho', 'product', n::text, 1, 1, 'snooze', 'rate_limited',"
        " '{\"status\": 429}', 'c', now() - n * interval '1 minute' from generate_series(1, :minutes) n"
        " cross join generate_series(1, 5)",
        minutes=minutes,
    )


_LONG_AGO = sql("update tds_sync_logs set ended_at = ended_at - interval '1 hour'")
FAULTS["quota_forecast"] = Fault(_calls(60, 100), _counted_anew, _calls(60, 1_000_000), subject="books")
FAULTS["quota_spent"] = Fault(_calls(9, 10), _counted_anew, _calls(8, 10), subject="books")
FAULTS["rate_limited"] = Fault(_limited(3), _LONG_AGO, _limited(2))


# The queue


def _items(count: int, *, due: float = 0, entity: str = "product", priority: int = 5, **columns: Any) -> Act:
    names = "".join(f", {name}" for name in columns)
    values = "".join(f", {value}" for value in columns.values())
    return sql(
        f"insert into tds_sync_queue (source, entity, source_id, priority, correlation_id, next_attempt_at{names})"
        f" select 'zoho', :entity, n::text, :priority, 'c', now() - make_interval(secs => :due){values}"
        " from generate_series(1, :count) n",
        count=count, due=due, entity=entity, priority=priority,
    )  # fmt: skip


def _attempts(count: int, failed: int) -> Act:
    return sql(
        "insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, correlation_id)"
        " select 'zoho', 'product', n::text, 1, 1, case when n <= :failed then 'retry' else 'updated' end, 'c'"
        " from generate_series(1, :count) n",
        count=count, failed=failed,
    )  # fmt: skip


def _leased(seconds: float) -> Act:
    return _items(
        1, lease_token="gen_random_uuid()", leased_until="now() + interval '15 seconds'", leased_by="'w'",
        updated_at=f"now() - interval '{seconds} seconds'",
    )  # fmt: skip


def _paused(seconds: float) -> Act:
    def paused(installation: Installation) -> None:
        with session_scope(installation.engine) as session:
            pauses.pause(session, "product", by="test")
        installation.execute(
            "update tds_queue_pauses set paused_at = now() - make_interval(secs => :seconds)", seconds=seconds
        )

    return paused


def _resumed(installation: Installation) -> None:
    with session_scope(installation.engine) as session:
        pauses.resume(session, None)


_DONE = sql("delete from tds_sync_queue")
FAULTS["no_progress"] = Fault(_items(1, due=65), _attempts(1, 0), _items(1, due=55))
FAULTS["failure_rate"] = Fault(_attempts(50, 3), _LONG_AGO, _attempts(60, 3))
FAULTS["backlog"] = Fault(_items(1001), _DONE, _items(1000))
FAULTS["backlog_critical"] = Fault(_items(5001), _DONE, _items(5000))
FAULTS["stuck_work"] = Fault(_leased(3700), _DONE, _leased(3500))
FAULTS["queue_paused"] = Fault(_paused(7300), _resumed, _paused(7100), subject="product")
FAULTS["foreign_locks"] = Fault(
    _items(2, last_error="'waits for a lock on erp.product 1'"),
    _DONE,
    _items(2, last_error="'transient: no answer'"),
)


# Freshness and runs


def run(state: str, mode: str = "full", *, ago: float = 60.0, entity: str = "product") -> Act:
    """A run that began and ended so many seconds ago."""
    return sql(
        "insert into tds_sync_runs (source, entity, mode, state, requested_by, requested_at, started_at, ended_at,"
        " correlation_id) select 'zoho', :entity, :mode, :state, 'schedule', t, t, t, 'c'"
        " from (select now() - make_interval(secs => :ago) as t) as at",
        entity=entity, mode=mode, state=state, ago=ago,
    )  # fmt: skip


def seed_timetable(installation: Installation) -> None:
    """The timetable as it comes, in force for days."""
    with session_scope(installation.engine) as session:
        job_store.seed(session, celeryconfig.TIMETABLE)
    installation.execute("update tds_scheduled_jobs set updated_at = now() - interval '3 days'")


def _read(hours: float) -> Act:
    def read(installation: Installation) -> None:
        seed_timetable(installation)
        run("completed", "incremental", ago=hours * 3600)(installation)

    return read


def events(count: int, late: int, *, ago: float = 120.0) -> Act:
    """So many events of half an hour ago that were quick, and so many of `ago` seconds that were not."""
    return sql(
        "insert into tds_inbox_events (source, entity, event, source_id, correlation_id, received_at, verdict,"
        " verdict_at) select 'zoho', 'product', 'updated', n::text, 'c', at, 'applied', at + lasted from ("
        " select n, now() - make_interval(secs => case when n <= :late then :ago else 1800 end) as at,"
        " case when n <= :late then interval '20 seconds' else interval '1 second' end as lasted"
        " from generate_series(1, :count) n) as each",
        count=count, late=late, ago=ago,
    )  # fmt: skip


def _held(installation: Installation) -> None:
    run("held")(installation)
    installation.execute("update tds_sync_runs set end_reason = 'too many'")
    installation.execute(
        "insert into tds_run_holds (run_id, kind, reason, record_count, preview)"
        " select id, 'change', 'too many', 120, '{}' from tds_sync_runs"
    )


FAULTS["sync_lag"] = Fault(_items(1, due=920), _DONE, _items(1, due=880))
FAULTS["entity_stale"] = Fault(_read(4), run("completed", "incremental"), _read(1.9), subject="product")
FAULTS["freshness_missed"] = Fault(
    events(100, 12), sql("update tds_inbox_events set received_at = received_at - interval '1 hour'"), events(100, 9)
)
FAULTS["held_run"] = Fault(
    _held, sql("update tds_sync_runs set state = 'completed'"), run("running"), subject="product"
)
FAULTS["run_failed"] = Fault(run("failed"), run("completed", ago=1), run("failed", "dry_run"), subject="product")


# Dead letters


def _dead_letters(count: int, *, hours: float = 0.01, attempts: int = 1) -> Act:
    return sql(
        "insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,"
        " priority, correlation_id, dead_at, last_dead_at) select 'zoho', 'product', n::text, 'validation', 'no sku',"
        " 'validation:product:kind ' || least(n % 10, 3), :attempts, 5, 'c', at, at from generate_series(1, :count) n"
        " cross join (select now() - make_interval(secs => :hours * 3600) as at) as when_at",
        count=count, hours=hours, attempts=attempts,
    )  # fmt: skip


_RESOLVED = sql("update tds_dead_letter_queue set resolved_at = now(), resolution = 'resolved'")
_ASSIGNED = sql("update tds_dead_letter_queue set assigned_to = 'somebody'")
FAULTS["dead_letters"] = Fault(_dead_letters(101), _RESOLVED, _dead_letters(100))
FAULTS["dead_letters_undecided"] = Fault(_dead_letters(2, hours=24.2), _ASSIGNED, _dead_letters(2, hours=23.8))
FAULTS["attempts_exhausted"] = Fault(_dead_letters(1, attempts=8), _RESOLVED, _dead_letters(1, attempts=7))
FAULTS["unhealthy"] = Fault(_sick, _well, _refused)


# Webhooks


def forge(count: int, reason: str = "signature_wrong") -> Act:
    """So many webhooks were refused."""

    def forged(installation: Installation) -> None:
        rejection = Rejection(
            reason=reason, detail="no", status=401, path="/", headers={}, remote_address="192.0.2.1", body=b"",
            body_size=0, correlation_id="c",
        )  # fmt: skip
        for _ in range(count):
            with session_scope(installation.engine) as session:
                keep_rejected(session, rejection)

    return forged


def _unstored(minutes: float) -> Act:
    def refused(installation: Installation) -> None:
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        minute = at.replace(second=0, microsecond=0)
        with session_scope(installation.engine) as session:
            add_unstored(session, {(minute, "away"): UnstoredTally(3, at, at)})

    return refused


def _covered(announced: int, missed: int) -> Act:
    return sql(
        "insert into tds_webhook_coverage (source, entity, operation, hour_at, webhook_count, never_count)"
        " values ('zoho', 'product', 'updated', date_trunc('hour', now()), :announced, :missed)"
        " on conflict (source, entity, operation, hour_at) do update set webhook_count = excluded.webhook_count,"
        " never_count = excluded.never_count",
        announced=announced, missed=missed,
    )  # fmt: skip


def found(kind: str, severity: Severity, **detail: Any) -> Act:
    """A finding is open."""

    def reported(installation: Installation) -> None:
        with session_scope(installation.engine) as session:
            findings.report(
                session, kind=kind, severity=severity, source="zoho", entity="product", subject="all", detail=detail
            )

    return reported


_CLEARED = sql("update tds_findings set resolved_at = now()")


def rhythm(per_hour: int, *, silent_hours: int = 4, weeks: int = 3) -> Act:
    """So many webhooks in every hour of the weeks before, and none for some hours now."""

    def silence(installation: Installation) -> None:
        installation.execute(
            "insert into tds_inbox_events (source, entity, correlation_id, received_at, verdict, verdict_at)"
            " select 'zoho', 'product', 'c', at, 'applied', at"
            " from (select now() - make_interval(hours => :hours) as at) as last",
            hours=silent_hours,
        )
        installation.execute(
            "insert into tds_statistics_history (entity, grain, began_at, activity)"
            " select 'product', 'hour', date_trunc('hour', now()) - h * interval '1 hour',"
            " jsonb_build_object('webhook_count', cast(:count as int)) from generate_series(24, :weeks * 168 + 24) h",
            count=per_hour, weeks=weeks,
        )  # fmt: skip

    return silence


FAULTS["forged_webhooks"] = Fault(
    forge(11), sql("update tds_rejected_deliveries set received_at = now() - interval '11 minutes'"), forge(10)
)
FAULTS["webhooks_unstored"] = Fault(_unstored(1), sql("delete from tds_unstored_webhooks"), _unstored(6))
FAULTS["webhook_coverage"] = Fault(_covered(17, 3), _covered(18, 2), _covered(18, 2), subject="product")
FAULTS["webhook_rule_off"] = Fault(
    found(RULE_OFF, Severity.WARNING, missed_count=3), _CLEARED, found(RULE_MISSING, Severity.WARNING),
    subject="product",
)  # fmt: skip
FAULTS["webhooks_silent"] = Fault(rhythm(6), events(1, 0), rhythm(2))


# Proof


def compare(different: int, *, hours: float = 0.0) -> Act:
    """A comparison of products ended so many hours ago."""

    def compared(installation: Installation) -> None:
        run("completed", "comparison")(installation)
        installation.execute(
            "insert into tds_comparisons (source, requested_by, requested_at, state, ended_at, seed, correlation_id)"
            " select 'zoho', 'schedule', t, 'completed', t, 1, 'c'"
            " from (select now() - make_interval(secs => :seconds) as t) as at",
            seconds=hours * 3600,
        )
        installation.execute(
            "insert into tds_comparison_reports (comparison_id, entity, run_id, state, agreement, here_count,"
            " there_count, different_count, match_percent, score, ended_at)"
            " select max(c.id), 'product', max(r.id), 'completed', :agreement, 100, 100, :different, 99, 99,"
            " max(c.ended_at) from tds_comparisons c, tds_sync_runs r",
            different=different, agreement="differs" if different else "equal",
        )  # fmt: skip

    return compared


def mirrored(hours: float) -> Act:
    """The first full pass ended so many hours ago, and nothing was compared since."""

    def passed(installation: Installation) -> None:
        seed_timetable(installation)
        installation.execute("update tds_scheduled_jobs set updated_at = now()")
        run("completed", ago=hours * 3600)(installation)
        run("completed", "incremental")(installation)

    return passed


SECRET = Fernet.generate_key().decode()


def _verified(statement: str, before: str = "select 1") -> Act:
    """The history is sealed, something happens to it, and it is verified."""

    def verified(installation: Installation) -> None:
        key = seal_keys.derive(SECRET)
        with session_scope(installation.engine) as session:
            audit_seal.seal(session, key)
        installation.execute(before)
        with superuser(installation.engine) as session:
            for each in ("alter table tds_audit_trail disable trigger user", statement,
                         "alter table tds_audit_trail enable trigger user"):  # fmt: skip
                session.execute(text(each))
        with session_scope(installation.engine) as session:
            progress = rolling_verification.stored_progress(session)
        with session_scope(installation.engine) as session:
            progress = rolling_verification.verify_next(
                session, {key.id: key.secret}, progress, seconds=5, at=datetime.now(UTC)
            )
        with session_scope(installation.engine) as session:
            rolling_verification.store_progress(session, progress)

    return verified


def _edited(installation: Installation) -> None:
    installation.execute(
        "insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, correlation_id)"
        " values ('zoho', 'product', '1', 1, 'created', '{}', 'run', 'c')"
    )
    _verified("update tds_audit_trail set operation = 'deleted'")(installation)


def _validated(invalid: int) -> Act:
    def reported(installation: Installation) -> None:
        report = {"statistics": {"total_records": 1000, "invalid_records": invalid}}
        installation.execute(
            "insert into tds_validation_reports (subject, requested_by, ended_at, check_count, report)"
            " values ('product', 'test', now(), 1, cast(:report as jsonb))",
            report=msgspec.json.encode(report).decode(),
        )

    return reported


FAULTS["comparison_differs"] = Fault(compare(2), compare(0), compare(0), subject="product")
FAULTS["comparison_unproven"] = Fault(mirrored(26.2), compare(0), mirrored(25.8))
FAULTS["audit_chain_broken"] = Fault(
    _edited, _verified("update tds_audit_trail set operation = 'created'"), _verified("select 1")
)
FAULTS["invalid_records"] = Fault(_validated(101), _validated(0), _validated(100), subject="product")
FAULTS["error_findings"] = Fault(
    found("rows_unreadable", Severity.ERROR), _CLEARED, found("rows_unreadable", Severity.WARNING),
    subject="rows_unreadable",
)  # fmt: skip


# Backups


def _backed_up(hours: float) -> Act:
    return sql(
        "delete from tds_backups; insert into tds_backups (name, kind, started_at, ended_at)"
        " values ('b', 'full', now(), now() - make_interval(secs => :seconds))",
        seconds=hours * 3600,
    )


def _drilled(days: float, *, error: str | None = None) -> Act:
    def act(installation: Installation) -> None:
        _backed_up(24 * 30)(installation)
        sql(
            "delete from tds_restores; insert into tds_restores (kind, backup, started_at, ended_at, error) values"
            " ('drill', 'b', now(), now() - make_interval(secs => :seconds), null),"
            " ('drill', 'b', now(), now(), :error)",
            seconds=days * 86_400, error=error or "found nothing",
        )(installation)  # fmt: skip

    return act


FAULTS["backup_late"] = Fault(_backed_up(26.2), _backed_up(0), _backed_up(25.8))
FAULTS["restore_undrilled"] = Fault(_drilled(7.1), sql("delete from tds_backups"), _drilled(6.9))


# The machine, and who is told


def _revision(revision: str) -> Act:
    """The database is of another revision; only its owner says so."""

    def revised(installation: Installation) -> None:
        with superuser(installation.engine) as session:
            session.execute(text("update alembic_version set version_num = :revision"), {"revision": revision})

    return revised


def _machine(name: str, value: Any) -> Act:
    def stated(installation: Installation) -> None:
        installation.machine[name] = value

    return stated


def _job_paused(seconds: float | None) -> Act:
    def paused(installation: Installation) -> None:
        seed_timetable(installation)
        installation.execute("update tds_scheduled_jobs set updated_at = now()")
        installation.execute(
            "update tds_scheduled_jobs set paused_at = now() - make_interval(secs => cast(:s as float8))"
            " where name = 'auto-healing'",
            s=seconds,
        )

    return paused


def _subscription(state: str) -> Act:
    return sql(
        "insert into tds_subscriptions (name, url, secret, message_key, position, created_by, state)"
        " values ('shop', 'https://shop.invalid', '', 'k', 0, 'test', :state)"
        " on conflict (name) do update set state = excluded.state",
        state=state,
    )


def _channel(failures: int) -> Act:
    def failing(installation: Installation) -> None:
        installation.execute("delete from tds_alert_channels")
        installation.execute(
            "insert into tds_alert_channels (name, kind, locked, masked, created_by, failure_count)"
            " values ('mail', 'email', '', 'm***', 'test', :failures)",
            failures=failures,
        )

    return failing


_HEAD, _BEFORE = known_revisions()[:2]
FAULTS["schema_outdated"] = Fault(_revision(_BEFORE), _revision(_HEAD), _revision("of the future"))
FAULTS["disk"] = Fault(
    _machine("disk_bytes", (50 * 10**9, 4 * 10**9)),
    _machine("disk_bytes", (50 * 10**9, 20 * 10**9)),
    _machine("disk_bytes", (50 * 10**9, 6 * 10**9)),
)
FAULTS["memory"] = Fault(_machine("memory_share", 0.81), _machine("memory_share", 0.5), _machine("memory_share", 0.79))
FAULTS["clock_skew"] = Fault(
    found("clock_set_back", Severity.ERROR, behind_seconds=40), _CLEARED,
    found("clock_set_back", Severity.ERROR, behind_seconds=25), subject="database",
)  # fmt: skip
FAULTS["protection_off"] = Fault(
    _job_paused(4.1 * 3600), _job_paused(None), _job_paused(3.9 * 3600), subject="auto-healing"
)
FAULTS["subscription_disabled"] = Fault(
    _subscription("disabled"), _subscription("active"), _subscription("paused"), subject="shop"
)
FAULTS["channel_failing"] = Fault(_channel(3), _channel(0), _channel(2), subject="mail")
