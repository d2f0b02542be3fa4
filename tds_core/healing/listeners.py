"""Listeners: what each worker tells of itself, who of them is deaf, and who is gone."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.healing.deafness import Ear, why_deaf

# Told by nobody for so long, on another machine: it is not coming back under this name.
GONE_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a worker tells: spans are seconds until now, by its own clock that only measures."""

    process: str
    name: str
    born: float
    ear: str
    slot_count: int
    busy_count: int
    queues: Sequence[str]
    lost_queues: Sequence[str]
    heard_seconds: float
    loop_seconds: float


TELL = text("""
insert into tds_listeners as l (process, name, born, ear, slot_count, busy_count, queues, lost_queues, alive_at,
                                heard_at, looped_at)
values (:process, :name, :born, :ear, :slot_count, :busy_count, :queues, :lost_queues, clock_timestamp(),
        clock_timestamp() - make_interval(secs => :heard_seconds),
        clock_timestamp() - make_interval(secs => :loop_seconds))
on conflict (process) do update set name = excluded.name, born = excluded.born, ear = excluded.ear,
    slot_count = excluded.slot_count, busy_count = excluded.busy_count, queues = excluded.queues,
    lost_queues = excluded.lost_queues, alive_at = excluded.alive_at, heard_at = excluded.heard_at,
    looped_at = excluded.looped_at,
    -- The process id may have been another worker's before, whose end is not this one's.
    started_at = case when l.born = excluded.born then l.started_at else clock_timestamp() end,
    deaf_at = case when l.born = excluded.born then l.deaf_at end,
    deaf_reason = case when l.born = excluded.born then l.deaf_reason end,
    ended_at = null, end_reason = null
returning deaf_reason
""")

END = text("""
update tds_listeners set ended_at = clock_timestamp(), end_reason = :reason
where process = any(:processes) and ended_at is null returning ear
""")


def tell(session: Session, told: Told) -> str | None:
    """Take down what a worker tells of itself. Returns why it is deaf and has to end, if it is."""
    given = {**asdict(told), "queues": list(told.queues), "lost_queues": list(told.lost_queues)}
    reason: str | None = session.execute(TELL, given).scalar_one()
    return reason


def end(session: Session, processes: Sequence[str], *, reason: str) -> list[str]:
    """Say that these workers ended. Returns the queues only they listened to."""
    return list(session.execute(END, {"processes": list(processes), "reason": reason}).scalars())


OPEN = text("""
select l.*, coalesce(c.unanswered_count, 0) as unanswered_count,
    extract(epoch from clock_timestamp() - l.alive_at)::float8 as silent_seconds,
    extract(epoch from clock_timestamp() - l.heard_at)::float8 as heard_seconds,
    extract(epoch from clock_timestamp() - l.looped_at)::float8 as loop_seconds,
    coalesce(extract(epoch from clock_timestamp() - c.unanswered_since), 0)::float8 as unanswered_seconds
from tds_listeners l left join tds_canaries c on c.queue = l.ear where l.ended_at is null order by l.name, l.process
""")


def listening(session: Session) -> list[dict[str, Any]]:
    """The workers that have not ended, with what is known of their hearing."""
    return [dict(row) for row in session.execute(OPEN).mappings()]


def retire(
    session: Session, rows: Iterable[Mapping[str, Any]], dead: Callable[[Iterable[str]], Sequence[str]]
) -> list[str]:
    """End those of `rows` whose process is gone. Returns the queues only they listened to."""
    found = {row["process"]: row for row in rows}
    gone = set(dead(list(found)))
    silent = [name for name, row in found.items() if row["silent_seconds"] > GONE_SECONDS and name not in gone]
    ears = end(session, sorted(gone), reason="gone") if gone else []
    return ears + (end(session, silent, reason="silent") if silent else [])


DEAF = text("""
update tds_listeners set deaf_at = clock_timestamp(), deaf_reason = :reason
where process = :process and deaf_at is null and ended_at is null returning process
""")


def find_deaf(session: Session, rows: Iterable[Mapping[str, Any]], *, patience_seconds: float) -> list[dict[str, Any]]:
    """Judge `rows` and tell the deaf ones to end. Returns those found deaf just now, with `deaf_reason`."""
    found = []
    for row in rows:
        reason = why_deaf(_ear_of(row), patience_seconds=patience_seconds)
        if reason and call_deaf(session, row["process"], reason):
            found.append({**row, "deaf_reason": reason})
    return found


def call_deaf(session: Session, process: str, reason: str) -> bool:
    """Tell a worker to end. Returns whether it was not told before."""
    return session.execute(DEAF, {"process": process, "reason": reason}).first() is not None


def _ear_of(row: Mapping[str, Any]) -> Ear:
    return Ear(**{field: row[field] for field in Ear.__dataclass_fields__})
