"""Strangers: records of which only a webhook has spoken. They are read soon, or known not to be there.

A body names no organisation, and what stands between Zoho and TDS can spoil an id; so a record that only a body told of
is doubted until Zoho's API has shown it. Of an id that Zoho does not have, and that nobody can name, no row is made;
that it is not there is remembered, so that an old body which comes late creates nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.sync import queue
from tds_core.sync.apply import Applied
from tds_core.sync.candidate import Candidate, Seen, looks_rounded
from tds_core.sync.decide import Outcome
from tds_models.entities import ENTITIES
from tds_models.entity import Entity
from tds_models.quality import Severity

KIND = "stranger"
#: A list that is being read, or a second webhook's reading, may show the record first.
READ_AFTER_SECONDS = 2.0


class Doubt(StrEnum):
    """Why a record that is gone may never have been the source's."""

    UNKNOWN = "unknown"  # the mirror never had it either
    DENIED = "denied"  # only a webhook had told of it


_ROUNDED = (
    "It looks rounded by a sender in JavaScript: ids of more than 2^53 whose last digits are zeros do. Have the sender"
    " pass ids on as text."
)
_SAID = {
    Doubt.UNKNOWN: "Zoho has no such record, and TDS never had it: the id is wrong, of another organisation, or of a"
    " record that was gone before TDS saw it.",
    Doubt.DENIED: "Zoho has no such record, and only a webhook told of it: it may be another organisation's.",
}


@dataclass(frozen=True, slots=True)
class Sorted:
    """Candidates by what may be done with them: apply them, read them first (`doubtful`), or nothing (`unknown`).

    `doubts`: why those that are gone may never have been there, by source id.
    """

    to_apply: Sequence[Candidate]
    doubtful: Sequence[Applied] = ()
    unknown: Sequence[Applied] = ()
    doubts: Mapping[str, Doubt] = field(default_factory=dict)

    def reason(self, source_id: str) -> str | None:
        """What the verdict of an event says beside its name, where Zoho does not know the record it spoke of."""
        doubt = self.doubts.get(source_id)
        if doubt is None:
            return None
        return f"{_SAID[doubt]} {_ROUNDED}" if looks_rounded(source_id) else _SAID[doubt]


ABSENT = text("""
select source_id from tds_strangers
where source = :source and entity = :entity and source_id = any(:ids) and absent_at is not null
""")


def sort(session: Session, entity: Entity, candidates: Sequence[Candidate]) -> Sorted:
    """Tell the candidates that must not make a row of their own from those that are to be applied."""
    told = {each.source_id: each for each in candidates if each.seen is Seen.BODY}
    gone = {each.source_id: each for each in candidates if each.gone}
    suspects = set(filter(looks_rounded, told)) | _absent(session, entity, list(told))
    if not suspects and not gone:
        return Sorted(candidates)
    only_told = _rows(session, entity, [*suspects, *gone])
    doubtful = suspects.difference(only_told)
    unknown = {key for key, each in gone.items() if key not in only_told and not each.values}
    denied = {key for key in gone if only_told.get(key)}
    return Sorted(
        # What is known here already needs no name.
        [
            replace(each, values={}) if each.gone and each.source_id in only_told else each
            for each in candidates
            if each.source_id not in doubtful and each.source_id not in unknown
        ],
        [Applied(told[key], Outcome.LOOK_AGAIN, frozenset()) for key in sorted(doubtful)],
        [Applied(gone[key], Outcome.DELETED, frozenset()) for key in sorted(unknown)],
        dict.fromkeys(unknown, Doubt.UNKNOWN) | dict.fromkeys(denied, Doubt.DENIED),
    )


def _absent(session: Session, entity: Entity, ids: Sequence[str]) -> set[str]:
    """Those the source said it does not have, when it was asked last."""
    if not ids:
        return set()
    given = {"source": entity.stream.source, "entity": entity.name, "ids": ids}
    return set(session.execute(ABSENT, given).scalars())


def _rows(session: Session, entity: Entity, ids: Sequence[str]) -> dict[str, bool]:
    """Those the mirror has a row of, and whether no more than a webhook vouches for it."""
    statement = text(
        "select source_id, confirmed_at is null and version = 1 and deleted_at is null as is_only_told"
        f" from {entity.table.fullname} where source = :source and source_id = any(:ids)"
    )
    found = session.execute(statement, {"source": entity.stream.source, "ids": ids})
    return {row.source_id: row.is_only_told for row in found}


NOTE = text("""
insert into tds_strangers as s (source, entity, source_id, absent_at)
select :source, :entity, id, case when is_absent then now() end
from unnest(cast(:ids as text[]), cast(:absences as boolean[])) as r(id, is_absent) order by id
on conflict (source, entity, source_id) do update set told_at = now(), absent_at = excluded.absent_at
""")


def note(session: Session, entity: Entity, applied: Sequence[Applied], sorted_out: Sorted) -> None:
    """Write down whom only a body told of, and whom Zoho does not have; keep a finding of each that was denied.

    What a person wrote needs nobody's word.
    """
    created = [each.candidate for each in applied if each.outcome is Outcome.CREATED]
    told = [each for each in created if each.seen is Seen.BODY and each.provenance.origin != "operator"]
    absences = {each.source_id: False for each in told}
    absences |= {each.candidate.source_id: True for each in sorted_out.unknown}
    given = {"source": entity.stream.source, "entity": entity.name}
    if absences:
        session.execute(NOTE, {**given, "ids": list(absences), "absences": list(absences.values())})
    for each in applied:
        source_id = each.candidate.source_id
        if each.outcome is Outcome.DELETED and sorted_out.doubts.get(source_id) is Doubt.DENIED:
            detail = {"news": sorted_out.reason(source_id)}
            findings.keep(session, kind=KIND, severity=Severity.WARNING, subject=source_id, detail=detail, **given)


# Those whose work waits already are left for later: it may be no reading.
DUE = text("""
with due as (
    delete from tds_strangers where ctid in (
        select s.ctid from tds_strangers s
        where s.absent_at is null and s.told_at <= now() - make_interval(secs => :seconds)
          and not exists (select from tds_sync_queue q where q.source = s.source and q.entity = s.entity
                          and q.source_id = s.source_id)
        order by s.told_at limit 1000 for update skip locked)
    returning entity, source_id
)
select entity, array_agg(source_id order by source_id) as source_ids from due group by entity order by entity
""")


def owe(session: Session, *, after_seconds: float = READ_AFTER_SECONDS) -> int:
    """Owe a reading to each stranger that no list has shown meanwhile. Returns how many there were."""
    count = 0
    for row in session.execute(DUE, {"seconds": after_seconds}).all():
        entity = ENTITIES[row.entity]
        unseen = text(
            f"select source_id from {entity.table.fullname} where source = :source and source_id = any(:ids)"
            " and confirmed_at is null and deleted_at is null"
        )
        given = {"source": entity.stream.source, "ids": row.source_ids}
        ids = list(session.execute(unseen, given).scalars())
        count += queue.enqueue(session, entity=entity.name, source_ids=ids, origin="sweep", bulk=True)
    return count
