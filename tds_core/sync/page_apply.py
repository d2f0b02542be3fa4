"""A list page meets the mirror: equal bytes are skipped, the rest is read, compared, and applied or put on the queue.

Preparing (skip and read) needs no lock and so runs while the page before is being written.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tds_core.dead_letters import store
from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.quality import clock_skew
from tds_core.quality.clock_skew import Clock
from tds_core.queue import items
from tds_core.records.apply import Applied, Standing, apply, confirm, hold_rows
from tds_core.records.compare import RowOutcome
from tds_core.records.sql import statements_for
from tds_core.records.transform import Candidate, Familiar, Provenance, fingerprint, no_known_keys
from tds_core.sources.base import ListedRow
from tds_core.sync import partial_rows, type_changes
from tds_core.sync.bulk_insert import Creation, PageContext, create, prepare_creation
from tds_core.sync.partial_rows import HeaderComparison, cleared, compare_headers, missing_keys, shown_in_details
from tds_models.entities.base import Entity, Shows

#: Outcomes that change a record the mirror had.
CHANGES = frozenset({RowOutcome.UPDATED, RowOutcome.RESTORED})
#: And those that only a reading of the record can settle.
READ_AGAIN = frozenset({RowOutcome.REFETCH, RowOutcome.RESTORED})


@dataclass(frozen=True, slots=True)
class PageDiff:
    """One page, ready to be written: its rows' fingerprints, how many the mirror has already, what is new, what is
    changed, and what breaks the rules. `skipped_count`: rows that are as an earlier pass left them, byte by byte;
    `owed`: those of them whose details wait to be read, as that pass left it.
    `reads_all`: every record is to be read in detail, whatever its row shows. `other_kind`: rows of another entity of
    this path, for which the list was not asked.
    """

    hashes: Mapping[str, bytes]
    equal_count: int
    skipped_count: int
    creation: Creation | None
    candidates: Sequence[Candidate]
    invalid: Sequence[tuple[str, InvalidRecordError]]
    reads_all: bool
    other_kind: Sequence[str] = ()
    owed: Set[str] = frozenset()

    @property
    def is_known(self) -> bool:
        """Whether the mirror has all of the page, byte by byte."""
        return not (self.creation or self.candidates or self.invalid or self.other_kind)

    @property
    def said(self) -> list[Mapping[str, Any]]:
        """The records that are to be looked at once more, of those that may be written."""
        created = self.creation.said if self.creation else ()
        return [*(each.said for each in self.candidates if each.said is not None), *created]

    @property
    def said_wrongly(self) -> list[Mapping[str, Any]]:
        """The records that cannot be rows, and those of which a value could not be read."""
        refused = [error.record for _, error in self.invalid if error.record is not None]
        return refused + [each.said for each in self.candidates if each.flaws and each.said is not None]


def compare_page(
    session: Session,
    entity: Entity,
    rows: Sequence[ListedRow],
    *,
    read_at: datetime,
    provenance: Provenance,
    before: Mapping[str, bytes],
    thorough: bool,
    known_keys: Familiar,
    clock: Clock | None = None,
) -> PageDiff:
    """Skip the rows of a page asked for at `read_at` whose bytes the mirror has already; read the others.

    `before`: the fingerprints of the page before, which is being written only now and may share rows with this one.
    `thorough`: the pass looks for what the list may hide. `familiar`: the keys that are no news; the page's first
    record is looked at in any case.
    """
    reads_all = entity.stream.list_shows is Shows.NONE or (thorough and entity.stream.list_shows is Shows.SOME)
    rows = _newest_of_each(rows)
    hashes = {row.source_id: fingerprint(row.raw) for row in rows}
    unlike = {key: True for key in hashes.keys() & before.keys() if hashes[key] != before[key]}
    known, owed = _unlike(session, entity, {key: hashes[key] for key in hashes if key not in before}, reads_all)
    unlike |= known
    fresh = {row.source_id: row.raw for row in rows if row.source_id in unlike}
    sighting = PageContext(entity, read_at, provenance, hashes, known_keys, clock)
    creation, candidates, invalid = _read(sighting, fresh, {key for key, is_known in unlike.items() if is_known})
    skipped_count = sum(key not in fresh and key not in before for key in hashes)
    other_kind = [key for key, error in invalid if isinstance(error, OtherKindError)]
    invalid = [(key, error) for key, error in invalid if not isinstance(error, OtherKindError)]
    equal_count = len(hashes) - len(fresh)
    return PageDiff(hashes, equal_count, skipped_count, creation, candidates, invalid, reads_all, other_kind, owed)


def _newest_of_each(rows: Sequence[ListedRow]) -> Sequence[ListedRow]:
    """One row of each record: of two on a page the newer, or the later of equally old ones."""
    found: dict[str, ListedRow] = {}
    for row in rows:
        known = found.get(row.source_id)
        is_older = known and known.modified_at and row.modified_at and row.modified_at < known.modified_at
        if not is_older:
            found[row.source_id] = row
    return rows if len(found) == len(rows) else list(found.values())


def _unlike(
    session: Session, entity: Entity, hashes: Mapping[str, bytes], reads_all: bool
) -> tuple[dict[str, bool], set[str]]:
    """The ids whose fingerprint is not the mirror's, and whether the mirror has the record; with `reads_all` all.

    And those of which nothing is to be done, because what is still to be read of them waits for that already.
    """
    params = {
        "source": entity.stream.source,
        "ids": list(hashes),
        "hashes": [None if reads_all else each.hex() for each in hashes.values()],
    }
    found = session.execute(statements_for(entity.name).unlike, params).all()
    unlike = {row.source_id: row.is_known for row in found if not row.is_owed}
    return unlike, {row.source_id for row in found if row.is_owed}


Invalid = list[tuple[str, InvalidRecordError]]


def _read(
    sighting: PageContext, fresh: Mapping[str, bytes], known: Container[str]
) -> tuple[Creation | None, list[Candidate], Invalid]:
    """Read what is new side by side, and one by one what is changed. Records that break the rules stand in the way."""
    new = {key: raw for key, raw in fresh.items() if key not in known}
    creation = prepare_creation(sighting, new)
    rest = {key: raw for key, raw in fresh.items() if not creation or key in known}
    candidates, invalid = _one_by_one(sighting, rest)
    if invalid and not creation:
        wrong = {key for key, _ in invalid}
        creation = prepare_creation(sighting, {key: raw for key, raw in new.items() if key not in wrong})
        candidates = [each for each in candidates if not creation or each.source_id in known]
    return creation, candidates, invalid


def _one_by_one(sighting: PageContext, raws: Mapping[str, bytes]) -> tuple[list[Candidate], Invalid]:
    candidates: list[Candidate] = []
    invalid: Invalid = []
    for source_id, raw in raws.items():
        try:
            known_keys = None if candidates else no_known_keys(sighting.entity)
            candidates.append(sighting.candidate(source_id, raw, known_keys))
        except InvalidRecordError as error:
            invalid.append((source_id, error))
    return candidates, invalid


@dataclass(frozen=True, slots=True)
class PageResult:
    """How many records of a page had which outcome, and how many the mirror had that the source changed."""

    counts: Counter[str]
    changed_count: int


def apply_page(
    session: Session,
    entity: Entity,
    prepared: PageDiff,
    *,
    correlation_id: str,
    before: Set[str] = frozenset(),
) -> PageResult:
    """Write a prepared page. A record whose row somebody else has locked becomes work, and the rest goes in.

    `before`: the records that pages of this pass showed already; of them only changes count. Raises `LockedError` when
    a whole table is locked.
    """
    counts = _counts_unwritten(prepared, before)
    if prepared.is_known:
        return PageResult(+counts, 0)
    # The mirror is locked before the queue, as workers do.
    standing = hold_rows(session, entity, sorted(each.source_id for each in prepared.candidates))
    if standing.locked:
        free = [each for each in prepared.candidates if each.source_id not in standing.locked]
        prepared = replace(prepared, candidates=free)
        counts["to_read"] += len(standing.locked.keys() - before)
        _owe(session, entity, list(standing.locked), correlation_id)
    creation = prepared.creation
    created = creation.source_ids if creation else ()
    changed: set[str] = set()
    if entity.header_first:
        candidates, changed = _sort_headers(
            session, entity, prepared, standing, counts=counts, before=before, correlation_id=correlation_id
        )
    else:
        candidates = _clear_untold(session, entity, prepared.candidates, standing, correlation_id)
    if creation and create(session, creation):
        counts[RowOutcome.CREATED] += len(created)
    elif creation:
        candidates = [*candidates, *creation.candidates]
    applied = apply(session, entity, candidates, standing.rows) if candidates else []
    counts.update(each.outcome for each in applied if each.candidate.source_id not in before or each.outcome in CHANGES)
    changed.update(each.candidate.source_id for each in applied if each.outcome in CHANGES)
    arrived = [each.candidate.source_id for each in applied if each.outcome in type_changes.ARRIVALS]
    type_changes.arrive(session, entity, [*arrived, *created], correlation_id=correlation_id)
    type_changes.set_aside(session, entity, prepared.other_kind, correlation_id=correlation_id)
    again = _settle_letters(session, entity, prepared, applied, created)
    _owe(session, entity, again, correlation_id)
    _bury(session, entity, prepared.invalid, correlation_id)
    return PageResult(+counts, len(changed))


def _sort_headers(
    session: Session,
    entity: Entity,
    prepared: PageDiff,
    standing: Standing,
    *,
    counts: Counter[str],
    before: Set[str],
    correlation_id: str,
) -> tuple[list[Candidate], set[str]]:
    """Confirm what partial rows leave as it is, and owe readings to the rest.

    Returns the candidates to be applied, and the ids of those the source changed. Adds to `counts`.
    """
    creation, candidates = prepared.creation, prepared.candidates
    surveyed = compare_headers(entity, candidates, standing.rows, shows_changes=not prepared.reads_all)
    _owe_details(session, entity, surveyed, creation.ranks if creation else {}, correlation_id)
    confirm(session, entity, [*surveyed.to_confirm, *surveyed.unclear], surveyed.current)
    if standing.any_open:
        clock_skew.resolve_future_times(session, entity, [each.source_id for each in candidates if not each.ahead_at])
    counts.update(outcome for source_id, outcome in surveyed.outcomes.items() if source_id not in before)
    to_apply = [*surveyed.changed, *surveyed.never_read]
    counts["to_read"] += sum(each.source_id not in before for each in [*surveyed.unclear, *to_apply])
    counts["to_read"] += len(creation.source_ids) if creation else 0
    return to_apply, set() if prepared.reads_all else {each.source_id for each in surveyed.changed}


def _clear_untold(
    session: Session, entity: Entity, candidates: Sequence[Candidate], standing: Standing, correlation_id: str
) -> list[Candidate]:
    """Owe a reading to rows that are silent about a value the mirror has; clear what no detail would show."""
    silent = missing_keys(entity, candidates, standing.rows)
    _owe(session, entity, silent, correlation_id)
    if not silent:
        return list(candidates)
    return list(cleared(entity, candidates, standing.rows, shown_in_details(session, entity)))


def _settle_letters(
    session: Session, entity: Entity, prepared: PageDiff, applied: Sequence[Applied], created: Sequence[str]
) -> list[str]:
    """Close the letters of records a whole list brought over. Returns those that only a reading can settle.

    What came back is read, too: a detail that still denies it is to be known before the next webhook asks.
    """
    if not entity.list_is_complete:
        return []
    unsure = {each.candidate.source_id for each in applied if each.outcome in (RowOutcome.REFETCH, RowOutcome.STALE)}
    seen = [*(candidate.source_id for candidate in prepared.candidates), *created]
    _heal(session, entity, [source_id for source_id in seen if source_id not in unsure])
    return [each.candidate.source_id for each in applied if each.outcome in READ_AGAIN]


def _counts_unwritten(prepared: PageDiff, before: Set[str]) -> Counter[str]:
    """How many records of a page the mirror has as they are, and how many break the rules."""
    wrong, other = {source_id for source_id, _ in prepared.invalid}, set(prepared.other_kind)
    equal_count, again = prepared.equal_count, prepared.hashes.keys() & before
    if again:
        created = prepared.creation.source_ids if prepared.creation else ()
        equal_count -= len(again - wrong - {*created, *other, *(each.source_id for each in prepared.candidates)})
    told = {"invalid": wrong, "other_kind": other, "to_read": prepared.owed}
    return Counter({RowOutcome.UNCHANGED: equal_count, **{name: len(ids - before) for name, ids in told.items()}})


def _owe_details(
    session: Session, entity: Entity, surveyed: HeaderComparison, created: Mapping[str, int], correlation_id: str
) -> None:
    """What changed is read first; what never was, in the order in which it is useful (`created`: that of new ones)."""
    changed = [candidate.source_id for candidate in (*surveyed.changed, *surveyed.unclear)]
    _owe(session, entity, changed, correlation_id)
    bulk_rank = {each.source_id: _rank(entity, each) for each in surveyed.never_read}
    _owe(session, entity, [*bulk_rank, *created], correlation_id, {**bulk_rank, **created})


def _rank(entity: Entity, seen: Candidate) -> int:
    return partial_rows.backfill_rank(
        entity, status=seen.values.get("status"), modified_at=seen.modified_at, read_at=seen.read_at
    )


def _heal(session: Session, entity: Entity, source_ids: Sequence[str]) -> None:
    outcomes = dict.fromkeys(source_ids, "confirmed")
    store.resolve(session, source=entity.stream.source, entity=entity.name, outcomes=outcomes)


def _owe(
    session: Session,
    entity: Entity,
    source_ids: Sequence[str],
    correlation_id: str,
    bulk_rank: Mapping[str, int] | None = None,
) -> None:
    items.enqueue(
        session,
        entity=entity.name,
        source_ids=source_ids,
        origin="run",
        bulk=True,
        bulk_rank=bulk_rank,
        correlation_id=correlation_id,
    )


def _bury(
    session: Session, entity: Entity, invalid: Sequence[tuple[str, InvalidRecordError]], correlation_id: str
) -> None:
    """A list row that breaks the rules is a dead letter at once: reading it again would say the same."""
    letters = [
        {
            "source_id": source_id,
            "error_class": error.code,
            "error": str(error)[:2000],
            "attempts": 1,
            "priority": entity.priority,
            "correlation_id": correlation_id,
            "generation": 0,
        }
        for source_id, error in invalid
    ]
    store.bury(session, source=entity.stream.source, entity=entity.name, letters=letters)
