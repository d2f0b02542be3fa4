"""Strangers: records of which only a webhook has spoken. They are read soon, or known not to be there.

And records of which Zoho says two things: those that a list shows and the detail denies stay as the list shows them.

A body names no organisation, and what stands between Zoho and TDS can spoil an id; so a record that only a body told of
is doubted until Zoho's API has shown it. Of an id that Zoho does not have, and that nobody can name, no row is made;
that it is not there is remembered, so that an old body which comes late creates nothing.
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
#: A list that is being read, or a second webhook's reading, may show the record first.
READ_AFTER_SECONDS = 2.0


class Doubt(StrEnum):
    """Why a record that is gone may never have been the source's."""

    UNKNOWN = "unknown"  # the mirror never had it either
    DENIED = "denied"  # only a webhook had told of it
    REFUSED = "refused"  # only a webhook had told of it, and the source does not show it to us
    CONTESTED = "contested"  # a list shows it: it is not gone before one misses it


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


#: What is kept as a finding, and under which name.
_FOUND: dict[Doubt | None, str] = {Doubt.DENIED: KIND, Doubt.REFUSED: KIND, Doubt.CONTESTED: CONTESTED}


@dataclass(frozen=True, slots=True)
class SortedCandidates:
    """Candidates by what may be done with them: apply them, read them first (`doubtful`), or nothing (`settled`).

    `doubts`: what speaks against those that are said to be gone, by source id. `whys`: what they are now instead.
    """

    to_apply: Sequence[Candidate]
    doubtful: Sequence[Applied] = ()
    settled: Sequence[Applied] = ()
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    whys: Mapping[str, str] = field(default_factory=dict)

    def reason(self, source_id: str) -> str | None:
        """What the verdict of an event says beside its name, where Zoho does not know the record it spoke of."""
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
    """Tell the candidates that must not make a row of their own from those that are to be applied.

    `rows`: what the mirror has of them, by source id.
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
        # What is known here already needs no name.
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
    """What speaks against each of `gone`.

    The list that had a record read contradicts the answer that it is not there; once that was so, only a list that
    misses the record can decide, or a webhook that says it was deleted.
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
    """Those whose newest webhook says that they were deleted: beside the denial, word enough against a list."""
    ids = [each.provenance.id for each in gone if each.provenance.origin == "webhook"]
    return set(session.execute(ANNOUNCED, {"ids": ids}).scalars()) if ids else set()


KNOWN_ONCE = text("""
select distinct source_id from tds_audit_trail
where entity = :entity and source = :source and source_id = any(:ids)
""")


def _known_once(session: Session, entity: Entity, ids: Sequence[str]) -> set[str]:
    """Those with a history, whose rows were taken away: when they are repaired, their tombstones come back."""
    if not ids:
        return set()
    params = {"source": entity.stream.source, "entity": entity.name, "ids": ids}
    return set(session.execute(KNOWN_ONCE, params).scalars())


def _absent(session: Session, entity: Entity, ids: Sequence[str]) -> set[str]:
    """Those the source said it does not have, when it was asked last."""
    if not ids:
        return set()
    params = {"source": entity.stream.source, "entity": entity.name, "ids": ids}
    return set(session.execute(ABSENT, params).scalars())


def never_shown(session: Session, entity: Entity, refusals: Mapping[str, PermissionMissingError]) -> dict[str, str]:
    """Those of records refused that only webhooks told of: what was said of each.

    The source shows others of the module beside the record; or it shows no detail at all, and a full pass that began
    after the last webhook did not meet the record in the list.
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
    """Write down whom only a body told of, and whom Zoho does not have; keep findings of those Zoho contradicts.

    `applied`: all that ended. What a person wrote needs nobody's word.
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
    """Close the findings of records whose reading left no doubt; that one is not there says nothing of whose it was."""
    params = {"source": entity.stream.source, "entity": entity.name}
    read = [each for each in ended if each.view is RecordView.DETAIL]
    shown = [each.source_id for each in read if not each.gone]
    denied = [each.source_id for each in read if each.gone]
    if shown:
        findings.close_subjects(session, kinds=[KIND, CONTESTED], subjects=shown, **params)
    if denied:
        findings.close_subjects(session, kinds=[CONTESTED], subjects=denied, **params)


def resolve_unconfirmed(session: Session, entity: Entity, *, run_id: int, listed_all: bool) -> None:
    """After a pass: close the findings of strangers that were shown since, and so are the source's own; and, where the
    run listed all there is (`listed_all`), of those that began before it and of which no row lives any more.
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


def enqueue_unconfirmed(session: Session, *, after_seconds: float = READ_AFTER_SECONDS) -> int:
    """Owe a reading to each stranger that no list has shown meanwhile. Returns how many there were."""
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
