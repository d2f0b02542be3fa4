"""Suspects: records that may differ, kept until a reading of the record itself confirms or clears each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison.list_comparison import Suspect
from tds_models.comparison import DifferenceKind
from tds_models.entities.declaration import Entity

#: A suspect that could not be decided so often stays one: nothing is proven of it.
MOST_CHECKS = 3
#: Why the run of an entity rests while it has suspects that are not due.
SETTLES = "suspects are looked at again once changes have settled"

_ADD = text("""
insert into tds_comparison_differences as d
    (comparison_id, entity, source_id, kind, suspected_for, list_hash, list_modified_at, fields, is_sampled)
select :comparison, :entity, source_id, kind, reason, decode(list_hash, 'hex'), list_modified_at, fields, is_sampled
from jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, kind text, reason text, list_hash text,
    list_modified_at timestamptz, fields jsonb, is_sampled boolean)
order by source_id
on conflict (comparison_id, entity, source_id) do update set is_sampled = d.is_sampled or excluded.is_sampled
""")


def add(session: Session, comparison_id: int, entity: Entity, suspects: Sequence[Suspect]) -> None:
    """Store suspects; a record that is one already stays as it is."""
    if not suspects:
        return
    rows = [
        {
            "source_id": each.source_id,
            "kind": each.kind,
            "reason": each.reason[:500],
            "list_hash": each.list_hash.hex() if each.list_hash else None,
            "list_modified_at": each.list_modified_at,
            "fields": msgspec.Raw(each.fields),
            "is_sampled": each.is_sampled,
        }
        for each in suspects
    ]
    params = {"comparison": comparison_id, "entity": entity.name, "rows": msgspec.json.encode(rows).decode()}
    session.execute(_ADD, params)


@dataclass(frozen=True, slots=True)
class DueSuspect:
    """A suspect to be decided now. `is_owed`: TDS has work to do for the record, or an event waits for it.

    `fields`: what its list row showed otherwise, here and there by field; `list_modified_at`: its time of change.
    """

    source_id: str
    kind: DifferenceKind
    found_at: datetime
    list_hash: bytes | None
    list_modified_at: datetime | None
    fields: Mapping[str, Any]
    is_owed: bool


_IS_OWED = """(exists (select from tds_sync_queue q
               where q.source = :source and q.entity = :entity and q.source_id = d.source_id)
       or exists (select from tds_inbox_events e where e.source = :source and e.entity = :entity
                  and e.source_id = d.source_id and e.verdict is null))"""
_DUE = text(f"""
select d.source_id, d.kind, d.found_at, d.list_hash, d.list_modified_at,
       case when jsonb_typeof(d.fields) = 'object' then d.fields else '{{}}' end as fields, {_IS_OWED} as is_owed
from tds_comparison_differences d
where d.comparison_id = :comparison and d.entity = :entity and d.state = 'suspect' and d.recheck_at <= now()
  and d.check_count < {MOST_CHECKS}
order by d.recheck_at, d.id limit :limit
""")


def due(session: Session, comparison_id: int, entity: Entity, *, limit: int) -> list[DueSuspect]:
    """Suspects to be decided now, the longest waiting first."""
    params = {"comparison": comparison_id, "entity": entity.name, "source": entity.stream.source, "limit": limit}
    rows = session.execute(_DUE, params).mappings()
    return [
        DueSuspect(
            **{
                **row,
                "kind": DifferenceKind(row["kind"]),
                "list_hash": bytes(row["list_hash"]) if row["list_hash"] else None,
            }
        )
        for row in rows
    ]


_OWED = text(f"select d.source_id from unnest(cast(:ids as text[])) as d(source_id) where {_IS_OWED}")


def refreshed(session: Session, entity: Entity, due: Sequence[DueSuspect]) -> list[DueSuspect]:
    """The same suspects, with what TDS owes them now, or owed them when they were read."""
    params = {"source": entity.stream.source, "entity": entity.name, "ids": [each.source_id for each in due]}
    owed = set(session.execute(_OWED, params).scalars())
    return [replace(each, is_owed=each.is_owed or each.source_id in owed) for each in due]


_NEXT = text(f"""
select extract(epoch from min(recheck_at) - now())::float8 from tds_comparison_differences
where comparison_id = :comparison and entity = :entity and state = 'suspect' and check_count < {MOST_CHECKS}
""")


def seconds_to_next(session: Session, comparison_id: int, entity: Entity) -> float | None:
    """How long until the next suspect is due; None when all are decided, or were looked at often enough."""
    seconds = session.execute(_NEXT, {"comparison": comparison_id, "entity": entity.name}).scalar()
    return None if seconds is None else max(0.0, float(seconds))


_COUNT = text("""
select count(*) from tds_comparison_differences
where comparison_id = :comparison and entity = :entity and state = 'suspect'
""")


def count(session: Session, comparison_id: int, entity: Entity) -> int:
    """How many suspects there are."""
    return int(session.execute(_COUNT, {"comparison": comparison_id, "entity": entity.name}).scalar_one())


_CLEAR = text("""
delete from tds_comparison_differences
where comparison_id = :comparison and entity = :entity and source_id = any(:ids) and state = 'suspect'
""")


def clear(session: Session, comparison_id: int, entity: Entity, source_ids: Sequence[str]) -> None:
    """Remove suspects that turned out to be equal."""
    if source_ids:
        session.execute(_CLEAR, {"comparison": comparison_id, "entity": entity.name, "ids": list(source_ids)})


# The waits grow: what TDS still has to do, or a webhook that is on its way, gets its time.
_POSTPONE = text("""
update tds_comparison_differences d
set check_count = d.check_count + 1, suspected_for = r.reason,
    recheck_at = now() + make_interval(secs => :settle * power(2, d.check_count))
from jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, reason text)
where d.comparison_id = :comparison and d.entity = :entity and d.source_id = r.source_id and d.state = 'suspect'
""")


def postpone(
    session: Session, comparison_id: int, entity: Entity, reasons: Mapping[str, str], *, settle_seconds: float
) -> None:
    """Put suspects off; `reasons`: by source id, why they cannot be decided yet."""
    if not reasons:
        return
    rows = [{"source_id": source_id, "reason": reason[:500]} for source_id, reason in reasons.items()]
    params = {"comparison": comparison_id, "entity": entity.name, "settle": settle_seconds}
    session.execute(_POSTPONE, {**params, "rows": msgspec.json.encode(rows).decode()})


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmedDifference:
    """A difference that a reading of the record confirmed; see `tds_models.comparison.ComparisonDifference`.

    `fields`: JSON of the differing fields with the value here and there.
    """

    source_id: str
    kind: DifferenceKind
    fields: bytes
    cause: str
    explanation: str
    since: datetime | None
    hash_here: bytes | None
    hash_there: bytes | None


_CONFIRM = text("""
update tds_comparison_differences d
set state = 'confirmed', decided_at = now(), kind = r.kind, fields = r.fields, cause = r.cause,
    explanation = r.explanation, since = r.since, hash_here = decode(r.hash_here, 'hex'),
    hash_there = decode(r.hash_there, 'hex')
from jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, kind text, fields jsonb, cause text,
    explanation text, since timestamptz, hash_here text, hash_there text)
where d.comparison_id = :comparison and d.entity = :entity and d.source_id = r.source_id and d.state = 'suspect'
""")


def confirm(session: Session, comparison_id: int, entity: Entity, confirmed: Sequence[ConfirmedDifference]) -> None:
    """Turn suspects into differences."""
    if not confirmed:
        return
    rows: list[dict[str, Any]] = [
        {
            "source_id": each.source_id,
            "kind": each.kind,
            "fields": msgspec.Raw(each.fields),
            "cause": each.cause,
            "explanation": each.explanation,
            "since": each.since,
            "hash_here": each.hash_here.hex() if each.hash_here else None,
            "hash_there": each.hash_there.hex() if each.hash_there else None,
        }
        for each in confirmed
    ]
    params = {"comparison": comparison_id, "entity": entity.name, "rows": msgspec.json.encode(rows).decode()}
    session.execute(_CONFIRM, params)


_NOTE_REPAIRED = text("""
update tds_comparison_differences d set state = 'repaired'
where d.entity = :entity and d.state = 'confirmed' and d.comparison_id < :comparison
  and not exists (select from tds_comparison_differences n where n.comparison_id = :comparison
                  and n.entity = d.entity and n.source_id = d.source_id)
""")


def note_repaired(session: Session, comparison_id: int, entity: Entity) -> None:
    """Note that what earlier comparisons found different is equal, or gone on both sides, by a whole later one."""
    session.execute(_NOTE_REPAIRED, {"entity": entity.name, "comparison": comparison_id})
