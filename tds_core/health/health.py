"""Component health: measures the database once, evaluates each component by its progress, and computes a score."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.healing.canary_messages import UNANSWERED
from tds_core.queue.items import BULK_PRIORITY
from tds_core.records import row_lock_waits
from tds_core.schedule.job_store import overdue_seconds
from tds_models.entities import ENTITIES

# The dispatcher looks twice a second and Beat ticks every five seconds.
DISPATCHER_SILENT_SECONDS = 10.0
BEAT_SILENT_SECONDS = 60.0
NO_PROGRESS_SECONDS = 60.0
# A slot is late by the length of one tick; later than this, no process claims slots.
OVERDUE_SECONDS = 300.0
LAG_SECONDS = 900.0
# A webhook that got a 503 is a warning for this long.
UNSTORED_SECONDS = 300.0
DEPTH_WARNING, DEPTH_CRITICAL = 1_000, 5_000
DEAD_LETTERS_CRITICAL = 100

STATUS_COMMAND = "tds zoho status"
COST = {"ok": 0, "warning": 10, "critical": 40}


class HealthState(StrEnum):
    """The state of a component."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """One component, its state and why. `mend`: what to do about it; empty when nothing is needed."""

    name: str
    state: HealthState
    says: str
    mend: str = ""


class UnstoredWebhookFacts(TypedDict):
    """Webhooks that got a 503 in the last hour. `first`, `last`: times of day in UTC."""

    count: int
    reasons: str
    first: str
    last: str
    ago_seconds: float


class HealthFacts(TypedDict):
    """What the components are evaluated by; None where there is nothing. `overdue_slots`: seconds by job."""

    dispatcher_silent_seconds: float | None
    beat_silent_seconds: float | None
    depth: int
    backlog: int
    oldest_due_seconds: float | None
    backlog_due_seconds: float | None
    paused_queues: str | None
    last_attempt_seconds: float | None
    dead_letter_count: int
    findings: str | None
    finding_count: int
    locked_count: int
    lock_waits: str | None
    paused_seconds: float | None
    pause_reason: str | None
    missing_count: int
    missing_permissions: str | None
    refusal: str | None
    failed_runs: str | None
    held_runs: str | None
    listening_count: int
    told_seconds: float | None
    deaf_workers: str | None
    unheard_queues: str | None
    unstored: UnstoredWebhookFacts | None
    depth_warning: int
    depth_critical: int
    overdue_slots: dict[str, float]


_FACTS = text(f"""
select
    (select extract(epoch from clock_timestamp() - beat_at)::float8 from tds_pulses where name = 'dispatcher')
        as dispatcher_silent_seconds,
    (select extract(epoch from clock_timestamp() - beat_at)::float8 from tds_pulses where name = 'beat')
        as beat_silent_seconds,
    (select count(*) from tds_sync_queue where priority < :bulk) as depth,
    (select count(*) from tds_sync_queue where priority >= :bulk) as backlog,
    (select extract(epoch from clock_timestamp() - min(next_attempt_at))::float8 from tds_sync_queue
        where lease_token is null and next_attempt_at <= now() and priority < :bulk
          and entity not in (select entity from tds_queue_pauses)) as oldest_due_seconds,
    (select extract(epoch from clock_timestamp() - min(next_attempt_at))::float8 from tds_sync_queue
        where lease_token is null and next_attempt_at <= now() and priority >= :bulk
          and entity not in (select entity from tds_queue_pauses)
          and not exists (select from tds_backfill_rests where rests_until > now())) as backlog_due_seconds,
    (select string_agg(entity || ' by ' || paused_by, ', ' order by entity) from tds_queue_pauses) as paused_queues,
    (select extract(epoch from clock_timestamp() - max(ended_at))::float8 from tds_sync_logs)
        as last_attempt_seconds,
    (select count(*) from tds_dead_letter_queue where resolved_at is null) as dead_letter_count,
    (select string_agg(entity || ' ' || subject || ': ' || coalesce(detail ->> 'news', kind), '; ' order by id)
        from (select * from tds_findings where resolved_at is null order by id limit 5) as first) as findings,
    (select count(*) from tds_findings where resolved_at is null) as finding_count,
    (select count(*) from tds_sync_queue where last_error like :waits) as locked_count,
    (select string_agg(reason, '; ') from (
        select last_error as reason from tds_sync_queue where last_error like :waits
        union select end_reason from tds_sync_runs where state in ('queued', 'running') and end_reason like :waits
        order by 1 limit 3) as first) as lock_waits,
    (select extract(epoch from max(paused_until) - clock_timestamp())::float8 from tds_source_tokens)
        as paused_seconds,
    (select max(pause_reason) from tds_source_tokens where paused_until > clock_timestamp()) as pause_reason,
    (select count(*) from tds_missing_permissions) as missing_count,
    (select string_agg(
        path || ' of ' || api || case when source_id = '' then '' else ' ' || source_id end || ' (add ' || scope
            || ', refused since ' || to_char(refused_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
            || ' UTC, tried again at ' || to_char(paused_until at time zone 'UTC', 'HH24:MI:SS')
            || ' UTC)', '; ' order by source_id <> '', path)
        from (select * from tds_missing_permissions order by source_id <> '', path limit 5) as first)
        as missing_permissions,
    (select refusal from tds_source_tokens where refused_at is not null limit 1) as refusal,
    (select string_agg(e.entity || ': ' || coalesce(end_reason, 'unknown'), '; ' order by e.entity)
        from unnest(cast(:entities as text[])) as e(entity) cross join lateral (
            select state, end_reason from tds_sync_runs r where r.entity = e.entity and state in ('completed', 'failed')
            order by requested_at desc limit 1) as last where state = 'failed') as failed_runs,
    (select string_agg(entity || ' (run ' || id || '): ' || end_reason, '; ' order by id) from tds_sync_runs
        where state = 'held') as held_runs,
    (select count(*) from tds_listeners where ended_at is null and deaf_at is null
        and alive_at > now() - interval '30 seconds') as listening_count,
    (select extract(epoch from clock_timestamp() - max(alive_at))::float8 from tds_listeners) as told_seconds,
    (select string_agg(name || ' ' || deaf_reason, '; ' order by name) from tds_listeners l
        where deaf_at between now() - interval '1 day' and now() - interval '30 seconds' and not exists (
            select from tds_listeners n where n.ended_at is null and n.started_at > l.deaf_at)) as deaf_workers,
    (select string_agg(queue, ', ' order by queue) from ({UNANSWERED}) as each) as unheard_queues,
    (select jsonb_build_object('count', sum(webhook_count), 'reasons', string_agg(distinct reason, ', '),
        'first', to_char(min(first_at) at time zone 'UTC', 'HH24:MI:SS'),
        'last', to_char(max(last_at) at time zone 'UTC', 'HH24:MI:SS'),
        'ago_seconds', extract(epoch from clock_timestamp() - max(last_at)))
        from tds_unstored_webhooks where minute > now() - interval '1 hour' having count(*) > 0) as unstored
""")


def health_facts(
    session: Session, *, depth_warning: int = DEPTH_WARNING, depth_critical: int = DEPTH_CRITICAL
) -> HealthFacts:
    """Measure what the components are evaluated by."""
    params = {
        "bulk": BULK_PRIORITY,
        "patience": NO_PROGRESS_SECONDS,
        "entities": list(ENTITIES),
        "waits": f"{row_lock_waits.WAITS}%",
    }
    row = session.execute(_FACTS, params).mappings().one()
    overdue = {name: late for name, late in overdue_seconds(session).items() if late > OVERDUE_SECONDS}
    thresholds = {"depth_warning": depth_warning, "depth_critical": depth_critical}
    return cast("HealthFacts", {**row, **thresholds, "overdue_slots": overdue})


def components(facts: HealthFacts) -> Iterator[ComponentStatus]:
    """Evaluate every component that the database knows of."""
    for evaluate in _COMPONENTS:
        yield evaluate(facts)


def score(statuses: Sequence[ComponentStatus]) -> int:
    """From 0 to 100: a warning costs 10, something critical 40."""
    return max(0, 100 - sum(COST[component.state] for component in statuses))


def overall(statuses: Sequence[ComponentStatus]) -> str:
    """ok, degraded (a warning somewhere) or unhealthy (something critical)."""
    states = {component.state for component in statuses}
    if HealthState.CRITICAL in states:
        return "unhealthy"
    return "degraded" if HealthState.WARNING in states else "ok"


def _dispatcher(facts: HealthFacts) -> ComponentStatus:
    return _heartbeat_status(
        "dispatcher", facts["dispatcher_silent_seconds"], DISPATCHER_SILENT_SECONDS, HealthState.CRITICAL
    )


def _beat(facts: HealthFacts) -> ComponentStatus:
    """Critical when slots are due and no process claims them, whichever processes run."""
    if late := facts["overdue_slots"]:
        says = "due and taken by nobody: " + ", ".join(f"{name} for {late[name]:.0f} s" for name in sorted(late))
        return ComponentStatus(
            "timetable", HealthState.CRITICAL, says, "Look at the logs of Beat and of the workers; restart TDS."
        )
    return _heartbeat_status("timetable", facts["beat_silent_seconds"], BEAT_SILENT_SECONDS, HealthState.WARNING)


def _heartbeat_status(name: str, silent: float | None, patience: float, otherwise: HealthState) -> ComponentStatus:
    if silent is None:
        return ComponentStatus(name, otherwise, "never ran", "Start TDS: tds up")
    if silent > patience:
        return ComponentStatus(
            name, otherwise, f"silent for {silent:.0f} s", f"Look at its log, or restart TDS ({name})."
        )
    return ComponentStatus(name, HealthState.OK, f"made progress {max(silent, 0):.1f} s ago")


def _queue(facts: HealthFacts) -> ComponentStatus:
    depth, oldest = facts["depth"], facts["oldest_due_seconds"] or 0.0
    says = f"{depth} items, the oldest due for {max(oldest, 0):.1f} s"
    if facts["backlog"]:
        says += f"; {facts['backlog']} more are read at leisure"
    if depth > facts["depth_critical"] or oldest > LAG_SECONDS:
        return ComponentStatus(
            "queue", HealthState.CRITICAL, says, "Start more workers (TDS_WORKERS), or look at their logs."
        )
    if facts["paused_queues"]:
        says = f"{says}; paused: {facts['paused_queues']}"
        return ComponentStatus("queue", HealthState.WARNING, says, "Let it go on: tds queue resume")
    if depth > facts["depth_warning"] or oldest > NO_PROGRESS_SECONDS:
        return ComponentStatus("queue", HealthState.WARNING, says, "Watch it: tds stats")
    return ComponentStatus("queue", HealthState.OK, says)


def _progress(facts: HealthFacts) -> ComponentStatus:
    """Critical when work is due and no attempt ends, whichever processes run."""
    due = max(facts["oldest_due_seconds"] or 0.0, facts["backlog_due_seconds"] or 0.0)
    last = facts["last_attempt_seconds"]
    if due > NO_PROGRESS_SECONDS and (last is None or last > NO_PROGRESS_SECONDS):
        says = f"work is due for {due:.0f} s and none has ended since"
        return ComponentStatus("workers", HealthState.CRITICAL, says, "Look at the workers' logs; restart them.")
    return ComponentStatus("workers", HealthState.OK, "nothing waits in vain")


def _listening(facts: HealthFacts) -> ComponentStatus:
    """Critical when running workers do not consume; one that ended for it must have been started again."""
    if facts["told_seconds"] is None:
        return ComponentStatus("listening", HealthState.OK, "no worker has told of itself yet")
    if facts["deaf_workers"]:
        says = f"deaf, ended, and not started again: {facts['deaf_workers']}"
        return ComponentStatus(
            "listening", HealthState.CRITICAL, says, "Nothing supervises it: start it again, or run: tds up"
        )
    if not facts["listening_count"]:
        says = f"no worker lives; the last told of itself {facts['told_seconds']:.0f} s ago"
        return ComponentStatus("listening", HealthState.CRITICAL, says, "Start workers: tds up, or your supervisor")
    if facts["unheard_queues"]:
        says = f"nobody consumes {facts['unheard_queues']}"
        return ComponentStatus(
            "listening", HealthState.CRITICAL, says, "Start a worker without -Q; who listens: tds heal stats"
        )
    return ComponentStatus("listening", HealthState.OK, f"{facts['listening_count']} workers listen")


def _reception(facts: HealthFacts) -> ComponentStatus:
    """A warning for some minutes after a webhook got a 503: its sender may or may not send it again."""
    unstored = facts["unstored"]
    if not unstored:
        return ComponentStatus("reception", HealthState.OK, "no webhook met a 503 in the last hour")
    says = f"{unstored['count']} webhooks met a 503 from {unstored['first']} to {unstored['last']} UTC"
    says += f" in the last hour ({unstored['reasons']})"
    if unstored["ago_seconds"] > UNSTORED_SECONDS:
        return ComponentStatus("reception", HealthState.OK, says)
    mend = "Their senders try again if they can (Zoho: a retry policy); what stays out comes with: tds sync all"
    return ComponentStatus("reception", HealthState.WARNING, says, mend)


def _dead_letters(facts: HealthFacts) -> ComponentStatus:
    count = facts["dead_letter_count"]
    state = (
        HealthState.OK if not count else HealthState.CRITICAL if count > DEAD_LETTERS_CRITICAL else HealthState.WARNING
    )
    mend = "" if not count else "See what they mean and what to do: tds dead-letter"
    return ComponentStatus("dead letters", state, f"{count} wait for a decision", mend)


def _source(facts: HealthFacts) -> ComponentStatus:
    if facts["refusal"]:
        return ComponentStatus(
            "zoho",
            HealthState.CRITICAL,
            f"gives no access, so nothing is read: {facts['refusal']}",
            f"Then: {STATUS_COMMAND}",
        )
    left = facts["paused_seconds"] or 0.0
    if facts["missing_permissions"]:
        more = facts["missing_count"] - 5
        says = f"may not be read: {facts['missing_permissions']}{f'; and {more} more' if more > 0 else ''}"
        says = f"left alone for {left:.0f} s more: {facts['pause_reason']}; {says}" if left > 0 else says
        return ComponentStatus(
            "zoho", HealthState.WARNING, says, f"Add the scopes: tds zoho connect; which: {STATUS_COMMAND}"
        )
    if left > 0:
        says = f"left alone for {left:.0f} s more: {facts['pause_reason']}"
        return ComponentStatus("zoho", HealthState.WARNING, says, f"See: {STATUS_COMMAND}")
    return ComponentStatus("zoho", HealthState.OK, "may be asked")


def _runs(facts: HealthFacts) -> ComponentStatus:
    if facts["held_runs"]:
        says = f"waiting for a decision, and no pass begins there: {facts['held_runs']}"
        return ComponentStatus(
            "runs", HealthState.WARNING, says, "See what is at stake: tds runs show ID; then: tds runs approve ID"
        )
    if facts["failed_runs"]:
        says = f"last run failed: {facts['failed_runs']}"
        return ComponentStatus("runs", HealthState.WARNING, says, "Try again: tds sync ENTITY --wait")
    return ComponentStatus("runs", HealthState.OK, "the last ones ended well")


def _findings(facts: HealthFacts) -> ComponentStatus:
    if facts["finding_count"]:
        more = facts["finding_count"] - 5
        says = f"{facts['findings']}{f'; and {more} more' if more > 0 else ''}"
        return ComponentStatus(
            "findings", HealthState.WARNING, says, "See: tds findings; then: tds findings resolve ID"
        )
    return ComponentStatus("findings", HealthState.OK, "none are open")


def _locks(facts: HealthFacts) -> ComponentStatus:
    """A warning while a lock of another program delays changes of single records."""
    if facts["lock_waits"]:
        says = f"{facts['lock_waits']} ({facts['locked_count']} records wait)"
        mend = "End that transaction; or, in PostgreSQL: select pg_terminate_backend(PID)"
        return ComponentStatus("locks", HealthState.WARNING, says, mend)
    return ComponentStatus("locks", HealthState.OK, "nobody else's are in the way")


_COMPONENTS: tuple[Callable[[HealthFacts], ComponentStatus], ...] = (
    _dispatcher, _beat, _progress, _listening, _reception, _queue, _dead_letters, _findings, _locks, _runs, _source,
)  # fmt: skip
