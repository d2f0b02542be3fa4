"""Dead letters: stores work given up with its reason, grouped by fingerprint, and resolves it once it succeeds."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.observability import metrics

# What differs between two failures of one kind: ids, numbers, quoted values.
VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?")

# A record whose problem is known, or whose dead letter was being retried, gets no second one: the first is updated with
# the new error. A retry ends with the attempt it led to, whichever dead letter is updated.
BURY = text("""
with given as (
    select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, error_class text, error text,
        fingerprint text, attempts int, priority smallint, correlation_id text, generation bigint)
), ended as (
    update tds_dead_letter_revivals r set ended_at = clock_timestamp(), outcome = 'dead', error = g.error
    from tds_dead_letter_queue d join given g using (source_id)
    where r.letter_id = d.id and r.revived_at is not null and r.ended_at is null
      and d.source = :source and d.entity = :entity and d.resolved_at is null
    returning r.letter_id
), known as (
    select distinct on (d.source_id) d.id, g.* from tds_dead_letter_queue d join given g using (source_id)
    where d.source = :source and d.entity = :entity and d.resolved_at is null
      and (d.fingerprint = g.fingerprint or d.id in (select letter_id from ended))
    order by d.source_id, d.fingerprint = g.fingerprint desc, d.id
), newest as (
    select g.source_id, (select record from tds_inbox_events e where e.entity = :entity and e.source_id = g.source_id
                         and e.source = :source order by e.id desc limit 1) as record
    from given g
), again as (
    update tds_dead_letter_queue d
    set error_class = k.error_class, error = k.error, fingerprint = k.fingerprint, attempts = d.attempts + k.attempts,
        record = case when d.edited_at is null then coalesce(n.record, d.record) else d.record end,
        correlation_id = k.correlation_id, last_dead_at = clock_timestamp()
    from known k join newest n using (source_id) where d.id = k.id
), letters as (
    insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts, priority,
                                       record, correlation_id)
    select :source, :entity, g.source_id, g.error_class, g.error, g.fingerprint, g.attempts, g.priority, n.record,
           g.correlation_id
    from given g join newest n using (source_id) where g.source_id not in (select source_id from known)
)
update tds_inbox_events e
set verdict = 'dead_lettered', verdict_at = clock_timestamp(), verdict_reason = left(g.error, 500)
from given g
where e.source = :source and e.entity = :entity and e.source_id = g.source_id and e.verdict is null
  and e.generation <= g.generation
""")


def fingerprint_of(error_class: str, entity: str, message: str) -> str:
    """The fingerprint of a failure: failures of one kind share it."""
    return f"{error_class}:{entity}:{VARYING.sub('_', message)[:160]}"


def bury(session: Session, *, source: str, entity: str, letters: Sequence[dict[str, Any]]) -> None:
    """Store dead letters, and end the events they carry.

    A problem with an open dead letter gets no second one. A letter has source_id, error_class, error, attempts,
    priority, correlation_id and generation (events up to it); no two are about one record.
    """
    if not letters:
        return
    rows = [
        {**letter, "fingerprint": fingerprint_of(letter["error_class"], entity, letter["error"])} for letter in letters
    ]
    session.execute(BURY, {"source": source, "entity": entity, "rows": msgspec.json.encode(rows).decode()})
    for letter in letters:
        metrics.dead_letters.labels(entity, letter["error_class"]).inc()


# Asked first: most of the time there is none, and this is cheaper than finding none to close.
ANY_OPEN = text("select 1 from tds_dead_letter_queue where entity = :entity and resolved_at is null limit 1")

RESOLVE = text("""
with given as (
    select * from unnest(cast(:ids as text[]), cast(:outcomes as text[])) as g(source_id, outcome)
), closed as (
    update tds_dead_letter_queue d
    set resolved_at = clock_timestamp(), resolution = case when exists (
        select from tds_dead_letter_revivals r where r.letter_id = d.id and r.ended_at is null
        and r.revived_at is not null) then 'revived' else 'healed' end
    from given g
    where d.source = :source and d.entity = :entity and d.source_id = g.source_id and d.resolved_at is null
    returning d.id, g.outcome
)
update tds_dead_letter_revivals r set ended_at = clock_timestamp(), outcome = c.outcome
from closed c where r.letter_id = c.id and r.ended_at is null
""")


def resolve(session: Session, *, source: str, entity: str, outcomes: Mapping[str, str]) -> None:
    """Close the dead letters of records that have since been applied; `outcomes`: row outcome by source id."""
    if outcomes and session.execute(ANY_OPEN, {"entity": entity}).scalar():
        params = {"source": source, "entity": entity, "ids": list(outcomes), "outcomes": list(outcomes.values())}
        session.execute(RESOLVE, params)
