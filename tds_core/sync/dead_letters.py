"""Dead letters: work given up with its reason, grouped by fingerprint, until a person decides."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

# What differs between two failures of one kind: ids, numbers, quoted values.
VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|\d+(?:\.\d+)?")

BURY = text("""
with given as (
    select * from jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, error_class text, error text,
        fingerprint text, attempts int, priority smallint, correlation_id text, generation bigint)
), letters as (
    insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts, priority,
                                       record, correlation_id)
    select :source, :entity, g.source_id, g.error_class, g.error, g.fingerprint, g.attempts, g.priority,
           (select record from tds_inbox_events e where e.entity = :entity and e.source_id = g.source_id
            and e.source = :source order by e.id desc limit 1), g.correlation_id
    from given g
    where not exists (select from tds_dead_letter_queue d where d.source = :source and d.entity = :entity
        and d.source_id = g.source_id and d.fingerprint = g.fingerprint and d.resolved_at is null)
)
update tds_inbox_events e
set verdict = 'dead_lettered', verdict_at = clock_timestamp(), verdict_reason = left(g.error, 500)
from given g
where e.source = :source and e.entity = :entity and e.source_id = g.source_id and e.verdict is null
  and e.generation <= g.generation
""")


def shape_of(error_class: str, entity: str, message: str) -> str:
    """The fingerprint of a failure: equal ones are one problem."""
    return f"{error_class}:{entity}:{VARYING.sub('_', message)[:160]}"


def bury(session: Session, *, source: str, entity: str, letters: Sequence[dict[str, Any]]) -> None:
    """Write dead letters and give the verdict to the events they carry.

    A problem whose letter is still open gets no second one. A letter has source_id, error_class, error, attempts,
    priority, correlation_id and generation (events up to it).
    """
    if not letters:
        return
    rows = [{**letter, "fingerprint": shape_of(letter["error_class"], entity, letter["error"])} for letter in letters]
    session.execute(BURY, {"source": source, "entity": entity, "rows": msgspec.json.encode(rows).decode()})


HEAL = text("""
update tds_dead_letter_queue set resolved_at = now(), resolution = 'healed'
where source = :source and entity = :entity and source_id = any(:ids) and resolved_at is null
""")


def heal(session: Session, *, source: str, entity: str, source_ids: Sequence[str]) -> None:
    """Close the dead letters of records that have since been brought over."""
    if source_ids:
        session.execute(HEAL, {"source": source, "entity": entity, "ids": list(source_ids)})
