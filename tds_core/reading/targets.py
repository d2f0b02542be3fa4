"""What became of records an operator asked for: still owed, or how their last attempt ended."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

_OUTCOMES = text("""
select asked.id as source_id,
       exists (select from tds_sync_queue q
               where q.source = :source and q.entity = :entity and q.source_id = asked.id) as is_owed,
       last.outcome, last.error_class, last.error, last.ended_at
from unnest(cast(:ids as text[])) with ordinality as asked(id, place)
left join lateral (
    select outcome, error_class, error, ended_at from tds_sync_logs l
    where l.source = :source and l.entity = :entity and l.source_id = asked.id and l.id > :after
    order by l.id desc limit 1
) last on true
order by asked.place
""")
_ASKED = text("select source, entity, asked from tds_sync_runs where id = :run")
_MARK = text("select coalesce(max(id), 0) from tds_sync_logs")


def attempts_mark(session: Session) -> int:
    """A mark in the story of attempts: what ends after it has a higher number."""
    return int(session.execute(_MARK).scalar_one())


def outcomes(
    session: Session, *, source: str, entity: str, source_ids: Sequence[str], after: int
) -> list[dict[str, Any]]:
    """For each record whether it is still owed a sync, and how its latest attempt after the mark ended."""
    given = {"source": source, "entity": entity, "ids": list(source_ids), "after": after}
    return [dict(row) for row in session.execute(_OUTCOMES, given).mappings()]


def outcomes_of(session: Session, run_id: int) -> list[dict[str, Any]]:
    """The same for the records of a targeted run."""
    run = session.execute(_ASKED, {"run": run_id}).one()
    return outcomes(
        session, source=run.source, entity=run.entity, source_ids=run.asked["ids"], after=run.asked["after"]
    )
