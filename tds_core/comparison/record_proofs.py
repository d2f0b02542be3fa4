"""Row states: what the mirror has of records now, against the states that were last proven equal to the source."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Result, TextClause, text
from sqlalchemy.orm import Session

from tds_core.audit_trail.row_digests import DIGEST_BYTES, fix_spelling
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity


@dataclass(frozen=True, slots=True)
class RowState:
    """The mirror's row of a record, by digest, and its last proof (None each where there is none).

    `is_live`: the row exists and is not deleted. `is_whole`: the whole record was read, or its list shows all of it.
    """

    source_id: str
    is_live: bool
    is_whole: bool
    list_hash: bytes | None
    digest: bytes | None
    proven_digest: bytes | None
    proven_list_hash: bytes | None
    is_detailed: bool

    @property
    def is_as_proven(self) -> bool:
        """Whether the row, with its lines, is what it was when it was proven equal."""
        return self.is_live and self.digest is not None and self.digest == self.proven_digest


@dataclass(frozen=True, slots=True)
class Proof:
    """The states of both sides that were found equal; see `tds_models.comparison.RecordProof`."""

    source_id: str
    list_hash: bytes | None
    row_digest: bytes
    content_hash: bytes
    is_detailed: bool


def row_states(session: Session, entity: Entity, source_ids: Sequence[str]) -> dict[str, RowState]:
    """By source id, the state of each record, also of those the mirror does not have."""
    return _by_id(_execute(session, entity, _states_query(entity.name), source_ids))


def unproven_states(session: Session, entity: Entity, list_hashes: Mapping[str, bytes]) -> dict[str, RowState]:
    """By source id, the states of those records that were not proven equal as they are now on both sides.

    `list_hashes`: by source id, the fingerprint of the list row.
    """
    return _by_id(_execute(session, entity, _unproven_query(entity.name), list_hashes, list_hashes.values()))


def unmoved(session: Session, entity: Entity, states: Mapping[str, RowState]) -> set[str]:
    """Those of `states` whose rows are still the same: what was read of them meanwhile is of that digest."""
    digests = (state.digest or b"" for state in states.values())
    return states.keys() - set(_execute(session, entity, _moved_query(entity.name), states, digests).scalars())


def _by_id(rows: Result[Any]) -> dict[str, RowState]:
    states = {}
    for row in rows:
        values: list[Any] = [bytes(value) if type(value) is memoryview else value for value in row]
        states[row.source_id] = RowState(*values)
    return states


def _execute(
    session: Session, entity: Entity, query: TextClause, source_ids: Iterable[str], hashes: Iterable[bytes] = ()
) -> Result[Any]:
    fix_spelling(session)
    params = {
        "source": entity.stream.source,
        "entity": entity.name,
        "ids": _array(source_ids),
        "hashes": _array(each.hex() for each in hashes),
    }
    return session.execute(query, params)


def _array(values: Iterable[str]) -> str:
    """An array of texts as one literal, which costs driver and server less than an expression for each of them."""
    quoted = (each.replace("\\", "\\\\").replace('"', '\\"') for each in values)
    return "{" + ",".join(f'"{each}"' for each in quoted) + "}"


@cache
def _states_query(name: str) -> TextClause:
    return text(_states(name, "unnest(cast(:ids as text[])) as asked(id)"))


_HASHED = "unnest(cast(:ids as text[]), cast(:hashes as text[])) as asked(id, hash)"


# The columns are those of RowState. The inner query is not flattened, so that each row is digested once.
@cache
def _unproven_query(name: str) -> TextClause:
    columns = ", ".join(each.name for each in fields(RowState))
    return text(f"""
        select {columns} from ({_states(name, _HASHED, ", asked.hash")} offset 0) as s
        where (is_live and digest = proven_digest and proven_list_hash = decode(hash, 'hex')) is not true""")


@cache
def _moved_query(name: str) -> TextClause:
    return text(f"""
        select source_id from ({_states(name, _HASHED, ", asked.hash")} offset 0) as s
        where digest is distinct from decode(nullif(hash, ''), 'hex')""")


# The ids are given once more: the planner knows how many an array has, and takes any unnested one for a hundred.
def _states(name: str, asked: str, more: str = "") -> str:
    entity = ENTITIES[name]
    values = ", ".join(f"t.{field.name}" for field in entity.fields)
    spelled, lines = f"cast(row({values}, t.source_modified_at) as text)", ""
    for number, (declared, table) in enumerate(zip(entity.lines, entity.line_tables.values(), strict=True)):
        columns = ", ".join(f"l.{field.name}" for field in declared.fields)
        spelled += f" || '#' || coalesce(l{number}.spelled, '')"
        lines += f"""
            left join lateral (
                select string_agg(cast(row(l.position, l.line_id, {columns}) as text), '' order by l.position)
                    as spelled
                from {table.fullname} l where l.source = t.source and l.parent_id = t.source_id) l{number} on true"""
    is_whole = "t.lines_confirmed_at is not null" if entity.header_first else "true"
    return f"""
        select asked.id as source_id, coalesce(t.source_id is not null and t.deleted_at is null, false) as is_live,
               coalesce({is_whole}, false) as is_whole, t.list_hash,
               case when t.source_id is not null
                   then substring(sha256(convert_to({spelled}, 'UTF8')) for {DIGEST_BYTES}) end as digest,
               p.row_digest as proven_digest, p.list_hash as proven_list_hash,
               coalesce(p.is_detailed, false) as is_detailed{more}
        from {asked}
        left join {entity.table.fullname} t on t.source = :source and t.source_id = asked.id
            and t.source_id = any(cast(:ids as text[]))
        left join tds_record_proofs p on p.source = :source and p.entity = :entity and p.source_id = asked.id
            and p.source_id = any(cast(:ids as text[]))
        {lines}"""


_UPSERT = text("""
insert into tds_record_proofs (source, entity, source_id, list_hash, row_digest, content_hash, is_detailed)
select :source, :entity, source_id, decode(list_hash, 'hex'), decode(row_digest, 'hex'), decode(content_hash, 'hex'),
       is_detailed
from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    source_id text, list_hash text, row_digest text, content_hash text, is_detailed boolean)
order by source_id
on conflict (source, entity, source_id) do update set list_hash = excluded.list_hash, proven_at = now(),
    row_digest = excluded.row_digest, content_hash = excluded.content_hash, is_detailed = excluded.is_detailed
""")


def store_proofs(session: Session, entity: Entity, proofs: Sequence[Proof]) -> None:
    """Store what was found equal."""
    if not proofs:
        return
    rows = [
        {
            "source_id": each.source_id,
            "list_hash": each.list_hash.hex() if each.list_hash else None,
            "row_digest": each.row_digest.hex(),
            "content_hash": each.content_hash.hex(),
            "is_detailed": each.is_detailed,
        }
        for each in proofs
    ]
    params = {"source": entity.stream.source, "entity": entity.name, "rows": msgspec.json.encode(rows).decode()}
    session.execute(_UPSERT, params)


_REMOVE = text("delete from tds_record_proofs where source = :source and entity = :entity and source_id = any(:ids)")


def remove_proofs(session: Session, entity: Entity, source_ids: Sequence[str]) -> None:
    """Remove the proofs of records that neither side has any more."""
    if source_ids:
        params = {"source": entity.stream.source, "entity": entity.name, "ids": list(source_ids)}
        session.execute(_REMOVE, params)
