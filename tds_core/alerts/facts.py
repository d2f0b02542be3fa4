"""The facts rules are measured by: read once for one evaluation, each part when a rule first needs it."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from time import monotonic
from typing import Any

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.breakers.breaker import BreakerStatus
from tds_core.breakers.registry import Breakers
from tds_core.config.settings import Settings
from tds_core.healing.missing_workers import RecentWorker, recent_workers
from tds_core.health.health import score
from tds_core.health.infrastructure import InstallationFacts, evaluate, infrastructure_health, redis_answers
from tds_core.observability.memory_usage import used_share
from tds_core.queue.claim import PAUSED
from tds_core.queue.items import BULK_PRIORITY
from tds_core.sources.missing_permissions import entities_of
from tds_core.sources.zoho.quota.forecast import Forecast
from tds_core.sources.zoho.quota.governor import Governor, open_governor

_BEGAN = monotonic()

Scope = Callable[[], AbstractContextManager[Session]]

#: So many of the newest attempts are looked at; more would say the same, and take longer.
MOST_ATTEMPTS = 20_000

_ATTEMPTS = text("""
select count(*) filter (where outcome <> 'snooze') as attempt_count,
    count(*) filter (where outcome in ('retry', 'dead', 'crashed')) as failed_count,
    count(distinct (entity, source_id)) filter (where outcome in ('retry', 'dead', 'crashed')) as record_count,
    count(distinct date_trunc('minute', ended_at)) filter (where exchange ->> 'status' = '429') as limited_minutes
from (select outcome, entity, source_id, ended_at, exchange from tds_sync_logs
      where ended_at > now() - interval '10 minutes' order by ended_at desc limit :most) as recent
""")
_FINDINGS = text("""
select kind, severity, entity, count(*) as finding_count, min(id) as first_id,
    coalesce(sum((detail ->> 'missed_count')::bigint) filter (where kind = 'webhook_rule_off'), 0) as missed_count,
    array_agg(subject order by id) filter (where kind = 'webhook_rule_off') as events
from tds_findings where resolved_at is null group by kind, severity, entity order by kind, entity
""")


_BACKLOG = f"""
select entity, count(*) as depth from tds_sync_queue q
where priority < :bulk and not {PAUSED.format(entity="q.entity")} group by entity order by depth desc, entity
"""
# What is rare is asked for by its existence, so that an evaluation of a quiet installation needs few statements.
_SIGNS = text("""
select clock_timestamp() as now,
    (select max(received_at) from tds_inbox_events) as last_received_at,
    exists (select from tds_sync_queue where lease_token is not null and updated_at < now() - interval '10 minutes')
        or exists (select from tds_sync_runs where state = 'running' and mode <> 'targeted'
            and started_at < now() - interval '10 minutes') as has_old_work,
    exists (select from tds_rejected_deliveries where received_at > now() - interval '10 minutes') as has_rejected,
    exists (select from tds_webhook_coverage where hour_at > now() - interval '24 hours') as has_coverage,
    exists (select from tds_source_tokens where refused_at is not null or failed_count > 0
        or paused_until > clock_timestamp()) as has_access_trouble,
    exists (select from tds_validation_reports where ended_at > now() - interval '7 days') as has_reports,
    exists (select from tds_scheduled_jobs where paused_at is not null) as has_paused_jobs,
    exists (select from tds_subscriptions where state = 'disabled') as has_disabled_subscriptions,
    exists (select from tds_alert_channels where is_enabled and failure_count > 0) as has_failing_channels,
    exists (select from tds_backups) as has_backups
""")


@lru_cache(maxsize=2)
def _governor(settings: Settings) -> Governor:
    """The governor of a process, which connects to Redis once and not at every evaluation."""
    return open_governor(settings)


class AlertFacts:
    """What one evaluation knows. Each part is read in a transaction of its own, so one that fails fails alone."""

    def __init__(self, scope: Scope, settings: Settings, breakers: Breakers) -> None:
        self.scope = scope
        self.settings = settings
        self.breakers = breakers

    @cached_property
    def health(self) -> InstallationFacts:
        """The facts by which components of TDS are judged healthy."""
        with self.scope() as session:
            return infrastructure_health(session, self.settings)

    @cached_property
    def health_score(self) -> int:
        """From 0 to 100, as `tds health` says it."""
        return score(evaluate(self.health, self.settings, self.breakers))

    @cached_property
    def redis_answers(self) -> bool:
        """Whether Redis answers; without an address of it there is none to be lost."""
        return not self.settings.redis_url or redis_answers(self.settings.redis_url)

    @cached_property
    def breaker_states(self) -> list[BreakerStatus]:
        """The circuit breakers of all processes; none without Redis. Raises `BreakersAwayError` while it is away."""
        return self.breakers.states(of_all=True) if self.settings.redis_url else []

    @cached_property
    def quota(self) -> Forecast:
        """What is used of the calls to the source, and how that goes on. Raises `QuotaUnknownError`."""
        return _governor(self.settings).forecast({})

    @cached_property
    def attempts(self) -> RowMapping:
        """The attempts of ten minutes: how many, how many failed and of how many records, minutes with a 429."""
        with self.scope() as session:
            return session.execute(_ATTEMPTS, {"most": MOST_ATTEMPTS}).mappings().one()

    @cached_property
    def workers(self) -> list[RecentWorker]:
        """The workers that have not ended, or ended within a week, the newest first."""
        with self.scope() as session:
            return recent_workers(session)

    @cached_property
    def open_findings(self) -> Sequence[RowMapping]:
        """The open findings, counted by kind, severity and entity."""
        if not self.health["finding_count"]:
            return []
        with self.scope() as session:
            return session.execute(_FINDINGS).mappings().all()

    @cached_property
    def backlog(self) -> dict[str, int]:
        """By entity that is not paused, its work items without bulk work, most of them first."""
        return {row["entity"]: row["depth"] for row in self.rows(_BACKLOG, {"bulk": BULK_PRIORITY})}

    @cached_property
    def memory_share(self) -> float:
        """The share of memory in use on this machine, or in this container, 0 to 1."""
        return used_share()

    @cached_property
    def disk_bytes(self) -> tuple[int, int]:
        """The size of the disk of TDS_HOME, and what of it is free."""
        home = self.settings.home
        total, _, free = shutil.disk_usage(next(path for path in (home, *home.parents) if path.exists()))
        return total, free

    @cached_property
    def unread_entities(self) -> set[str]:
        """The entities that are not read because Zoho does not allow it, or a run of theirs is held."""
        names: set[str] = set()
        if self.health["missing_count"]:
            rows = self.rows("select source, api, path from tds_missing_permissions where source_id = ''")
            names |= {name for row in rows for name in entities_of(row["source"], row["api"], row["path"])}
        if self.health["held_runs"]:
            names |= {row["entity"] for row in self.rows("select entity from tds_sync_runs where state = 'held'")}
        return names

    @cached_property
    def signs(self) -> RowMapping:
        """Whether there is anything at all of what is rare, and when the last webhook came."""
        return self._timed_signs[0]

    @property
    def now(self) -> datetime:
        """The time of the database."""
        now: datetime = self.signs["now"]
        return now

    @property
    def clock_skew_seconds(self) -> float:
        """By how many seconds the clock of the database is ahead of this process's; below 0 behind it."""
        return self._timed_signs[1]

    @cached_property
    def _timed_signs(self) -> tuple[RowMapping, float]:
        with self.scope() as session:
            session.connection()  # so that connecting takes no part in the comparison of clocks
            before = datetime.now(UTC)
            signs = session.execute(_SIGNS).mappings().one()
            after = datetime.now(UTC)
        return signs, (signs["now"] - (before + (after - before) / 2)).total_seconds()

    @cached_property
    def process_age_seconds(self) -> float:
        """How long this process has run."""
        return monotonic() - _BEGAN

    def watched(self, seconds: float) -> float:
        """How much of a span up to now this process has run: what was off with it is not told of when both start."""
        return min(seconds, self.process_age_seconds)

    def rows(self, query: str, params: Mapping[str, Any] | None = None) -> Sequence[RowMapping]:
        """The rows of a query, read in a transaction of its own."""
        with self.scope() as session:
            return session.execute(text(query), dict(params or {})).mappings().all()
