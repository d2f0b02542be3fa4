"""Unconfirmed records: records that only webhooks reported, and records about which Zoho contradicts itself.

A webhook body names no organisation, and a sender between Zoho and TDS can corrupt an id. So a record that only a body
reported is unconfirmed until Zoho's API shows it, and it is read soon. If Zoho does not have the record and the mirror
never had it, no row is made; its absence is stored, so that an older body that arrives late creates nothing.

A record that a list shows while its detail call answers that there is none keeps the row that the list shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import PermissionMissingError
from tds_core.quality import findings
from tds_core.quality.findings import NewFinding
from tds_core.queue import items
from tds_core.records.apply import Applied, Row
from tds_core.records.compare import RowOutcome
from tds_core.records.transform import FORCED, Candidate, RecordView, looks_rounded
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.findings import Severity

KIND, CONTESTED = "stranger", "listed_but_denied"
#: The delay before an unconfirmed record is read: a list, or the read for another webhook, may show it first.
READ_AFTER_SECONDS = 2.0


class Doubt(StrEnum):
    """Why a record that the source does not show is not simply a deleted one."""

    UNKNOWN = "unknown"  # the mirror never had it either
    DENIED = "denied"  # only a webhook had reported it
    REFUSED = "refused"  # only a webhook had reported it, and the source refuses to show it
    CONTESTED = "contested"  # a list shows it; it counts as deleted once a list misses it


_ROUNDED = (
    "It looks rounded by a sender in JavaScript: ids of more than 2^53 whose last digits are zeros do. Have the sender"
    " pass ids on as text."
)
_SAID = {
    Doubt.UNKNOWN: "Zoho has no such record, and TDS never had it: the id is wrong, of another organisation, or of a"
    " record that was gone before TDS saw it.",
    Doubt.DENIED: "Zoho has no such record, and only a webhook told of it: it may be another organisation's.",
    Doubt.REFUSED: "Zoho does not show this record, no list has shown it either, and only a webhook told of it: it"
    " may be another organisation's. It lives here again once a list or its detail shows it.",
    Doubt.CONTESTED: "Zoho's list shows this record, and its detail call answers that there is none. The row stays as"
    " the list shows it; a full pass that does not find it in the list removes it.",
}


#: The kind of finding by which a doubt is reported; other doubts are not.
_FOUND: dict[Doubt | None, str] = {Doubt.DENIED: KIND, Doubt.REFUSED: KIND, Doubt.CONTESTED: CONTESTED}


@dataclass(frozen=True, slots=True)
class SortedCandidates:
    """Candidates by what is done with them: they are applied, read first (`doubtful`), or left alone (`settled`).

    `doubts`: the doubts about candidates that are gone, by source id. `whys`: what those have become instead, if known.
    """

    to_apply: Sequence[Candidate]
    doubtful: Sequence[Applied] = ()
    settled: Sequence[Applied] = ()
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    whys: Mapping[str, str] = field(default_factory=dict)

    def reason(self, source_id: str) -> str | None:
        """The reason given with the verdict of an event whose record Zoho does not show; None where there is none."""
        if why := self.whys.get(source_id):
            return f"It is none of these any more: {why}."
        doubt = self.doubts.get(source_id)
        if doubt is None:
            return None
        return f"{_SAID[doubt]} {_ROUNDED}" if looks_rounded(source_id) else _SAID[doubt]


ABSENT = text("""
select source_id from tds_strangers
where source = :source and entity = :entity and source_id = any(:ids) and absent_at is not null
""")


def sort_candidates(
    session: Session, entity: Entity, candidates: Sequence[Candidate], rows: Mapping[str, Row]
) -> SortedCandidates:
    """Separate the candidates that must not create a row from those to be applied.

    `rows`: the rows the mirror has of them, by source id.
    """
    gone = {each.source_id: each for each in candidates if each.gone}
    told = {each.source_id: each for each in candidates if each.view is RecordView.BODY and each.source_id not in rows}
    doubtful = _absent(session, entity, list(told))
    if not doubtful and not gone:
        return SortedCandidates(candidates)
    doubts = _doubts(session, entity, gone, rows)
    settled = {Doubt.UNKNOWN: RowOutcome.DELETED, Doubt.CONTESTED: RowOutcome.UNCHANGED}
    ended = {key: settled[doubt] for key, doubt in doubts.items() if doubt in settled}
    return SortedCandidates(
        # A record that the mirror has already needs no values for its tombstone.
        [
            replace(each, values={}) if each.gone and each.source_id in rows else each
            for each in candidates
            if each.source_id not in doubtful and each.source_id not in ended
        ],
        [Applied(told[key], RowOutcome.REFETCH, frozenset()) for key in sorted(doubtful)],
        [Applied(gone[key], outcome, frozenset()) for key, outcome in sorted(ended.items())],
        doubts,
        {key: each.why for key, each in gone.items() if each.why},
    )


def _doubts(
    session: Session, entity: Entity, gone: Mapping[str, Candidate], rows: Mapping[str, Row]
) -> dict[str, Doubt]:
    """The doubt about each of `gone`, if there is one.

    Where a list caused the read of a record, it contradicts the response that there is none. From then on only a list
    without the record, or a webhook that reports its deletion, makes it a deleted one.
    """
    nameless = [key for key, each in gone.items() if key not in rows and not each.values]
    known_once = _known_once(session, entity, [key for key in nameless if gone[key].provenance.origin == FORCED])
    doubts = {key: Doubt.UNKNOWN for key in nameless if key not in known_once}
    living = [key for key, each in gone.items() if key in rows and rows[key]["deleted_at"] is None and not each.why]
    doubts |= {key: Doubt.DENIED for key in living if rows[key]["confirmed_at"] is None and rows[key]["version"] == 1}
    doubts |= {key: Doubt.REFUSED for key in living if gone[key].refused}
    known = [key for key in living if key not in doubts]
    before: set[str] = set()
    if known:
        before = findings.open_subjects(
            session, kind=CONTESTED, source=entity.stream.source, entity=entity.name, subjects=known
        )
    announced = _announced(session, [gone[key] for key in before])
    for key in known:
        origin = gone[key].provenance.origin
        if key not in announced and (origin == "run" or (origin != "sweep" and key in before)):
            doubts[key] = Doubt.CONTESTED
    return doubts


ANNOUNCED = text("select source_id from tds_inbox_events where id = any(:ids) and event = 'deleted'")


def _announced(session: Session, gone: Sequence[Candidate]) -> set[str]:
    """The records whose newest webhook reports their deletion; with the source's denial, that outweighs a list."""
    ids = [each.provenance.id for each in gone if each.provenance.origin == "webhook"]
    return set(session.execute(ANNOUNCED, {"ids": ids}).scalars()) if ids else set()


KNOWN_ONCE = text("""
select distinct source_id from tds_audit_trail
where entity = :entity and source = :source and source_id = any(:ids)
""")


def _known_once(session: Session, entity: Entity, ids: Sequence[str]) -> set[str]:
    """The records with a history, whose rows were removed: a repair restores their tombstones."""
    if not ids:
        return set()
    params = {"source": entity.stream.source, "entity": entity.name, "ids": ids}
    return set(session.execute(KNOWN_ONCE, params).scalars())


def _absent(session: Session, entity: Entity, ids: Sequence[str]) -> set[str]:
    """The records that the source did not have at their last read."""
    if not ids:
        return set()
    params = {"source": entity.stream.source, "entity": entity.name, "ids": ids}
    return set(session.execute(ABSENT, params).scalars())


def never_shown(session: Session, entity: Entity, refusals: Mapping[str, PermissionMissingError]) -> dict[str, str]:
    """The refused records that only webhooks reported, each with its refusal.

    Either the source shows other records of the module, and refuses this one; or it shows no detail at all, and a full
    pass that began after the last webhook did not find the record in the list.
    """
    statement = text(f"""
        select source_id, version, exists (
            select from tds_sync_runs r where r.entity = :entity and r.mode = 'full' and r.state = 'completed'
              and r.outcomes ? 'absent' and r.started_at > m.changed_at) as is_unlisted
        from {entity.table.fullname} m
        where source = :source and source_id = any(:ids) and confirmed_at is null and deleted_at is null""")
    params = {"source": entity.stream.source, "entity": entity.name, "ids": list(refusals)}
    return {
        row.source_id: str(refusals[row.source_id])
        for row in session.execute(statement, params)
        if row.is_unlisted or (row.version == 1 and refusals[row.source_id].source_id)
    }


NOTE = text("""
insert into tds_strangers as s (source, entity, source_id, absent_at)
select :source, :entity, id, case when is_absent then now() end
from unnest(cast(:ids as text[]), cast(:absences as boolean[])) as r(id, is_absent) order by id
on conflict (source, entity, source_id) do update set told_at = now(), absent_at = excluded.absent_at
""")


def note_unconfirmed(
    session: Session, entity: Entity, applied: Sequence[Applied], sorted_out: SortedCandidates
) -> None:
    """Store the records that only a body reported and those Zoho does not have; report those Zoho contradicts.

    `applied`: all that ended. A record that an operator wrote needs no confirmation.
    """
    doubts, absences = sorted_out.doubts, {}
    found: list[NewFinding] = []
    params = {"source": entity.stream.source, "entity": entity.name}
    for each in applied:
        candidate, source_id = each.candidate, each.candidate.source_id
        doubt = doubts.get(source_id)
        if doubt is Doubt.UNKNOWN:
            absences[source_id] = True
        elif (
            each.outcome is RowOutcome.CREATED
            and candidate.view is RecordView.BODY
            and candidate.provenance.origin != "operator"
        ):
            absences[source_id] = False
        if doubt in _FOUND and each.outcome is not RowOutcome.REFETCH:
            detail = {"news": sorted_out.reason(source_id)}
            found.append(
                NewFinding(kind=_FOUND[doubt], severity=Severity.WARNING, subject=source_id, detail=detail, **params)
            )
    if absences:
        session.execute(NOTE, {**params, "ids": list(absences), "absences": list(absences.values())})
    findings.report_many(session, found)
    _close(session, entity, [each.candidate for each in applied if doubts.get(each.candidate.source_id) not in _FOUND])


def _close(session: Session, entity: Entity, ended: Sequence[Candidate]) -> None:
    """Close the findings of records whose read left no doubt. The absence of a record does not show whose it was."""
    params = {"source": entity.stream.source, "entity": entity.name}
    read = [each for each in ended if each.view is RecordView.DETAIL]
    shown = [each.source_id for each in read if not each.gone]
    denied = [each.source_id for each in read if each.gone]
    if shown:
        findings.close_subjects(session, kinds=[KIND, CONTESTED], subjects=shown, **params)
    if denied:
        findings.close_subjects(session, kinds=[CONTESTED], subjects=denied, **params)


def resolve_unconfirmed(session: Session, entity: Entity, *, run_id: int, listed_all: bool) -> None:
    """Close the findings of unconfirmed records that the source has shown since. Call it after a pass.

    `listed_all`: the run listed every record; then findings that were last seen before it, and whose record has no
    living row any more, are closed as well.
    """
    statement = text(f"""
        update tds_findings set resolved_at = now(), resolved_by = 'tds'
        where resolved_at is null and id in (
            select f.id from tds_findings f
            left join {entity.table.fullname} m
                on m.source = f.source and m.source_id = f.subject and m.deleted_at is null
            where f.kind = :kind and f.source = :source and f.entity = :entity and f.resolved_at is null
              and (m.confirmed_at is not null or (m.source_id is null and :listed_all
                   and f.last_seen_at < (select started_at from tds_sync_runs where id = :run))))""")
    params = {"kind": KIND, "source": entity.stream.source, "entity": entity.name, "run": run_id}
    session.execute(statement, {**params, "listed_all": listed_all})


# Records with a live work item are left for later, since that item may end without a read.
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


def enqueue_unconfirmed(session: Session, *, after_seconds: float = READ_AFTER_SECONDS) -> int:
    """Enqueue a read of each unconfirmed record that no list has shown meanwhile. Returns how many."""
    count = 0
    for row in session.execute(DUE, {"seconds": after_seconds}).all():
        entity = ENTITIES[row.entity]
        unseen = text(
            f"select source_id from {entity.table.fullname} where source = :source and source_id = any(:ids)"
            " and confirmed_at is null and deleted_at is null"
        )
        params = {"source": entity.stream.source, "ids": row.source_ids}
        ids = list(session.execute(unseen, params).scalars())
        count += items.enqueue(session, entity=entity.name, source_ids=ids, origin="sweep", bulk=True)
    return count
