"""The health of an installation: each component judged by whether it makes progress, and one score for all of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.healing.canaries import UNANSWERED
from tds_core.queue.items import BULK_PRIORITY
from tds_core.records import row_locks
from tds_core.schedule.jobs import overdue_seconds
from tds_models.entities import ENTITIES

# The dispatcher looks twice a second and Beat ticks every five: silence this long is no accident.
DISPATCHER_SILENT_SECONDS = 10.0
BEAT_SILENT_SECONDS = 60.0
NO_PROGRESS_SECONDS = 60.0
# A slot is late by the length of one tick; this late, nobody takes slots.
OVERDUE_SECONDS = 300.0
LAG_SECONDS = 900.0
# So long after a webhook met a 503 it is still news.
UNSTORED_SECONDS = 300.0
DEPTH_WARNING, DEPTH_CRITICAL = 1_000, 5_000
DEAD_LETTERS_CRITICAL = 100

CHECK = "tds zoho status"
COST = {"ok": 0, "warning": 10, "critical": 40}


class State(StrEnum):
    """How a component does."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class ComponentStatus:
    """One component, how it does, and why. `mend` says what to do about it; empty when all is well."""

    name: str
    state: State
    says: str
    mend: str = ""


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

Facts = Mapping[str, Any]


def facts(
    session: Session, *, depth_warning: int = DEPTH_WARNING, depth_critical: int = DEPTH_CRITICAL
) -> dict[str, Any]:
    """What the judgement goes by; a figure is None where there was nothing to measure."""
    found = (
        session.execute(
            _FACTS,
            {
                "bulk": BULK_PRIORITY,
                "patience": NO_PROGRESS_SECONDS,
                "entities": list(ENTITIES),
                "waits": f"{row_locks.WAITS}%",
            },
        )
        .mappings()
        .one()
    )
    overdue = {name: late for name, late in overdue_seconds(session).items() if late > OVERDUE_SECONDS}
    return {**found, "depth_warning": depth_warning, "depth_critical": depth_critical, "overdue_slots": overdue}


def components(found: Facts) -> Iterator[ComponentStatus]:
    """Judge every component that the database knows of."""
    for judge in _JUDGES:
        yield judge(found)


def score(judged: Sequence[ComponentStatus]) -> int:
    """From 0 to 100: a warning costs 10, something critical 40."""
    return max(0, 100 - sum(COST[component.state] for component in judged))


def overall(judged: Sequence[ComponentStatus]) -> str:
    """ok, degraded (a warning somewhere) or unhealthy (something critical)."""
    states = {component.state for component in judged}
    if State.CRITICAL in states:
        return "unhealthy"
    return "degraded" if State.WARNING in states else "ok"


def _dispatcher(found: Facts) -> ComponentStatus:
    return _heartbeat_status(
        "dispatcher", found["dispatcher_silent_seconds"], DISPATCHER_SILENT_SECONDS, State.CRITICAL
    )


def _beat(found: Facts) -> ComponentStatus:
    """Red when slots are due and nobody takes them, whatever is alive."""
    if late := found["overdue_slots"]:
        says = "due and taken by nobody: " + ", ".join(f"{name} for {late[name]:.0f} s" for name in sorted(late))
        return ComponentStatus(
            "timetable", State.CRITICAL, says, "Look at the logs of Beat and of the workers; restart TDS."
        )
    return _heartbeat_status("timetable", found["beat_silent_seconds"], BEAT_SILENT_SECONDS, State.WARNING)


def _heartbeat_status(name: str, silent: float | None, patience: float, otherwise: State) -> ComponentStatus:
    if silent is None:
        return ComponentStatus(name, otherwise, "never ran", "Start TDS: tds up")
    if silent > patience:
        return ComponentStatus(
            name, otherwise, f"silent for {silent:.0f} s", f"Look at its log, or restart TDS ({name})."
        )
    return ComponentStatus(name, State.OK, f"made progress {max(silent, 0):.1f} s ago")


def _queue(found: Facts) -> ComponentStatus:
    depth, oldest = found["depth"], found["oldest_due_seconds"] or 0.0
    says = f"{depth} items, the oldest due for {max(oldest, 0):.1f} s"
    if found["backlog"]:
        says += f"; {found['backlog']} more are read at leisure"
    if depth > found["depth_critical"] or oldest > LAG_SECONDS:
        return ComponentStatus(
            "queue", State.CRITICAL, says, "Start more workers (TDS_WORKERS), or look at their logs."
        )
    if found["paused_queues"]:
        says = f"{says}; paused: {found['paused_queues']}"
        return ComponentStatus("queue", State.WARNING, says, "Let it go on: tds queue resume")
    if depth > found["depth_warning"] or oldest > NO_PROGRESS_SECONDS:
        return ComponentStatus("queue", State.WARNING, says, "Watch it: tds stats")
    return ComponentStatus("queue", State.OK, says)


def _progress(found: Facts) -> ComponentStatus:
    """Red when work is due and nothing ends, whatever is alive."""
    due = max(found["oldest_due_seconds"] or 0.0, found["backlog_due_seconds"] or 0.0)
    last = found["last_attempt_seconds"]
    if due > NO_PROGRESS_SECONDS and (last is None or last > NO_PROGRESS_SECONDS):
        says = f"work is due for {due:.0f} s and none has ended since"
        return ComponentStatus("workers", State.CRITICAL, says, "Look at the workers' logs; restart them.")
    return ComponentStatus("workers", State.OK, "nothing waits in vain")


def _listening(found: Facts) -> ComponentStatus:
    """Red when workers live and do not hear; a worker that was ended for it must have been started again."""
    if found["told_seconds"] is None:
        return ComponentStatus("listening", State.OK, "no worker has told of itself yet")
    if found["deaf_workers"]:
        says = f"deaf, ended, and not started again: {found['deaf_workers']}"
        return ComponentStatus(
            "listening", State.CRITICAL, says, "Nothing supervises it: start it again, or run: tds up"
        )
    if not found["listening_count"]:
        says = f"no worker lives; the last told of itself {found['told_seconds']:.0f} s ago"
        return ComponentStatus("listening", State.CRITICAL, says, "Start workers: tds up, or your supervisor")
    if found["unheard_queues"]:
        says = f"nobody consumes {found['unheard_queues']}"
        return ComponentStatus(
            "listening", State.CRITICAL, says, "Start a worker without -Q; who listens: tds heal stats"
        )
    return ComponentStatus("listening", State.OK, f"{found['listening_count']} workers listen")


def _reception(found: Facts) -> ComponentStatus:
    """Yellow for some minutes after a webhook met a 503: its sender was told, and may or may not try again."""
    unstored = found["unstored"]
    if not unstored:
        return ComponentStatus("reception", State.OK, "no webhook met a 503 in the last hour")
    says = f"{unstored['count']} webhooks met a 503 from {unstored['first']} to {unstored['last']} UTC"
    says += f" in the last hour ({unstored['reasons']})"
    if unstored["ago_seconds"] > UNSTORED_SECONDS:
        return ComponentStatus("reception", State.OK, says)
    mend = "Their senders try again if they can (Zoho: a retry policy); what stays out comes with: tds sync all"
    return ComponentStatus("reception", State.WARNING, says, mend)


def _dead_letters(found: Facts) -> ComponentStatus:
    count = found["dead_letter_count"]
    state = State.OK if not count else State.CRITICAL if count > DEAD_LETTERS_CRITICAL else State.WARNING
    mend = "" if not count else "See what they mean and what to do: tds dead-letter"
    return ComponentStatus("dead letters", state, f"{count} wait for a decision", mend)


def _source(found: Facts) -> ComponentStatus:
    if found["refusal"]:
        return ComponentStatus(
            "zoho", State.CRITICAL, f"gives no access, so nothing is read: {found['refusal']}", f"Then: {CHECK}"
        )
    left = found["paused_seconds"] or 0.0
    if found["missing_permissions"]:
        more = found["missing_count"] - 5
        says = f"may not be read: {found['missing_permissions']}{f'; and {more} more' if more > 0 else ''}"
        says = f"left alone for {left:.0f} s more: {found['pause_reason']}; {says}" if left > 0 else says
        return ComponentStatus("zoho", State.WARNING, says, f"Add the scopes: tds zoho connect; which: {CHECK}")
    if left > 0:
        says = f"left alone for {left:.0f} s more: {found['pause_reason']}"
        return ComponentStatus("zoho", State.WARNING, says, f"See: {CHECK}")
    return ComponentStatus("zoho", State.OK, "may be asked")


def _runs(found: Facts) -> ComponentStatus:
    if found["held_runs"]:
        says = f"waiting for a decision, and no pass begins there: {found['held_runs']}"
        return ComponentStatus(
            "runs", State.WARNING, says, "See what is at stake: tds runs show ID; then: tds runs approve ID"
        )
    if found["failed_runs"]:
        says = f"last run failed: {found['failed_runs']}"
        return ComponentStatus("runs", State.WARNING, says, "Try again: tds sync ENTITY --wait")
    return ComponentStatus("runs", State.OK, "the last ones ended well")


def _findings(found: Facts) -> ComponentStatus:
    if found["finding_count"]:
        more = found["finding_count"] - 5
        says = f"{found['findings']}{f'; and {more} more' if more > 0 else ''}"
        return ComponentStatus("findings", State.WARNING, says, "See: tds findings; then: tds findings resolve ID")
    return ComponentStatus("findings", State.OK, "none are open")


def _locks(found: Facts) -> ComponentStatus:
    """Somebody else's lock keeps changes out of the mirror; they are owed, and nothing else waits."""
    if found["lock_waits"]:
        says = f"{found['lock_waits']} ({found['locked_count']} records wait)"
        mend = "End that transaction; or, in PostgreSQL: select pg_terminate_backend(PID)"
        return ComponentStatus("locks", State.WARNING, says, mend)
    return ComponentStatus("locks", State.OK, "nobody else's are in the way")


_JUDGES: tuple[Callable[[Facts], ComponentStatus], ...] = (
    _dispatcher, _beat, _progress, _listening, _reception, _queue, _dead_letters, _findings, _locks, _runs, _source,
)  # fmt: skip
