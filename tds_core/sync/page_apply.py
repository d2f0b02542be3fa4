"""Page application: compares the rows of one list page with the mirror, and writes what differs.

`diff_page` only reads and takes no lock, so it runs while the page before is being written; `apply_page` writes.
"""

from collections import Counter
from collections.abc import Container, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from tds_core.dead_letters import burial
from tds_core.errors import InvalidRecordError, OtherKindError
from tds_core.quality import future_timestamps
from tds_core.quality.future_timestamps import Clock
from tds_core.queue import items
from tds_core.records.apply import Applied, LockedRows, apply, confirm, try_lock_rows
from tds_core.records.compare import RowOutcome
from tds_core.records.sql import statements_for
from tds_core.records.transform import Candidate, KnownKeys, Provenance, fingerprint, no_known_keys
from tds_core.sources.base import ListedRow
from tds_core.sync import entity_moves, partial_rows
from tds_core.sync.bulk_insert import Creation, PageReader, create, joined, prepare_creation
from tds_core.sync.partial_rows import HeaderComparison, cleared, compare_headers, missing_keys, shown_in_details
from tds_models.entities.declaration import Entity, Shows

#: Outcomes that change a record the mirror had.
CHANGES = frozenset({RowOutcome.UPDATED, RowOutcome.RESTORED})
#: Outcomes after which the record is read in detail. A restored one too: a detail that still denies it has to be known
#: before the next webhook for it is applied.
READ_AGAIN = frozenset({RowOutcome.REFETCH, RowOutcome.RESTORED})

#: Records that break the rules of their entity, by source id.
InvalidRecords = list[tuple[str, InvalidRecordError]]


@dataclass(frozen=True, slots=True)
class PageDiff:
    """One list page compared with the mirror: what is equal, new, changed and invalid.

    `hashes`: fingerprint of each row. `equal_count`: rows the mirror has byte by byte; `skipped_count`: those of them
    left as an earlier pass found them. `creation`: new records; `candidates`: records to compare one by one.
    `reads_all`: every record is read in detail, whatever its row shows. `other_kind`: rows of another entity of the
    same path. `awaiting_details`: equal rows whose details an earlier pass enqueued and nobody has read yet.
    """

    hashes: Mapping[str, bytes]
    equal_count: int
    skipped_count: int
    creation: Creation | None
    candidates: Sequence[Candidate]
    invalid: Sequence[tuple[str, InvalidRecordError]]
    reads_all: bool
    other_kind: Sequence[str] = ()
    awaiting_details: Set[str] = frozenset()

    @property
    def is_known(self) -> bool:
        """Whether the mirror has all of the page, byte by byte."""
        return not (self.creation or self.candidates or self.invalid or self.other_kind)

    @property
    def only_creates(self) -> bool:
        """Whether the page has nothing but new records beside what the mirror has already."""
        return self.creation is not None and not (self.candidates or self.invalid or self.other_kind)

    @property
    def drift_records(self) -> list[Mapping[str, Any]]:
        """The records to check for schema drift, of those that may be written."""
        created = self.creation.drift_records if self.creation else ()
        return [*(each.drift_record for each in self.candidates if each.drift_record is not None), *created]

    @property
    def broken_records(self) -> list[Mapping[str, Any]]:
        """The records that cannot be rows, and those with a value that could not be read."""
        refused = [error.record for _, error in self.invalid if error.record is not None]
        return refused + [each.drift_record for each in self.candidates if each.flaws and each.drift_record is not None]


def joined_creations(diffs: Sequence[PageDiff]) -> PageDiff:
    """Pages one after the other that only create, as one. A row that a later one shows again is equal there."""
    hashes = {source_id: value for each in diffs for source_id, value in each.hashes.items()}
    repeated_count = sum(len(each.hashes) for each in diffs) - len(hashes)
    return replace(
        diffs[0],
        hashes=hashes,
        equal_count=sum(each.equal_count for each in diffs) - repeated_count,
        skipped_count=sum(each.skipped_count for each in diffs),
        creation=joined([each.creation for each in diffs if each.creation]),
        reads_all=any(each.reads_all for each in diffs),
        awaiting_details=frozenset[str]().union(*(each.awaiting_details for each in diffs)),
    )


def diff_page(
    session: Session,
    entity: Entity,
    rows: Sequence[ListedRow],
    *,
    read_at: datetime,
    provenance: Provenance,
    pending_hashes: Mapping[str, bytes],
    thorough: bool,
    known_keys: KnownKeys,
    clock: Clock | None = None,
) -> PageDiff:
    """Compare the rows of a page requested at `read_at` with the mirror; parse those whose bytes differ.

    `pending_hashes`: fingerprints of the pages that are being written and may share rows with this one. `thorough`:
    the pass looks for what the list may hide. `known_keys`: keys already recorded by drift detection; the page's first
    record is checked in any case.
    """
    reads_all = entity.stream.list_shows is Shows.NONE or (thorough and entity.stream.list_shows is Shows.SOME)
    rows = _newest_of_each(rows)
    hashes = {row.source_id: fingerprint(row.raw) for row in rows}
    differing = {key: True for key in hashes.keys() & pending_hashes.keys() if hashes[key] != pending_hashes[key]}
    unwritten = {key: hashes[key] for key in hashes if key not in pending_hashes}
    mirror_differs, awaiting_details = _differing(session, entity, unwritten, reads_all)
    differing |= mirror_differs
    raws = {row.source_id: row.raw for row in rows if row.source_id in differing}
    reader = PageReader(entity, read_at, provenance, hashes, known_keys, clock)
    creation, candidates, invalid = _read(reader, raws, {key for key, is_known in differing.items() if is_known})
    return PageDiff(
        hashes=hashes,
        equal_count=len(hashes) - len(raws),
        skipped_count=sum(key not in raws and key not in pending_hashes for key in hashes),
        creation=creation,
        candidates=candidates,
        invalid=[(key, error) for key, error in invalid if not isinstance(error, OtherKindError)],
        reads_all=reads_all,
        other_kind=[key for key, error in invalid if isinstance(error, OtherKindError)],
        awaiting_details=awaiting_details,
    )


def _newest_of_each(rows: Sequence[ListedRow]) -> Sequence[ListedRow]:
    """One row of each record: of two on a page the newer, or the later of equally old ones."""
    newest: dict[str, ListedRow] = {}
    for row in rows:
        known = newest.get(row.source_id)
        is_older = known and known.modified_at and row.modified_at and row.modified_at < known.modified_at
        if not is_older:
            newest[row.source_id] = row
    return rows if len(newest) == len(rows) else list(newest.values())


def _differing(
    session: Session, entity: Entity, hashes: Mapping[str, bytes], reads_all: bool
) -> tuple[dict[str, bool], set[str]]:
    """The ids whose fingerprint is not the mirror's, with whether the mirror has the record; all with `reads_all`.

    And the ids that need nothing because reading their details is enqueued already.
    """
    params = {
        "source": entity.stream.source,
        "ids": list(hashes),
        "hashes": [None if reads_all else each.hex() for each in hashes.values()],
    }
    rows = session.execute(statements_for(entity.name).differing, params).all()
    differing = {row.source_id: row.is_known for row in rows if not row.is_enqueued}
    return differing, {row.source_id for row in rows if row.is_enqueued}


def _read(
    reader: PageReader, raws: Mapping[str, bytes], known: Container[str]
) -> tuple[Creation | None, list[Candidate], InvalidRecords]:
    """Parse new records column by column and changed ones one by one. One invalid record is left out of a creation."""
    new = {key: raw for key, raw in raws.items() if key not in known}
    creation = prepare_creation(reader, new)
    rest = {key: raw for key, raw in raws.items() if not creation or key in known}
    candidates, invalid = _read_one_by_one(reader, rest)
    if invalid and not creation:
        wrong = {key for key, _ in invalid}
        creation = prepare_creation(reader, {key: raw for key, raw in new.items() if key not in wrong})
        candidates = [each for each in candidates if not creation or each.source_id in known]
    return creation, candidates, invalid


def _read_one_by_one(reader: PageReader, raws: Mapping[str, bytes]) -> tuple[list[Candidate], InvalidRecords]:
    candidates: list[Candidate] = []
    invalid: InvalidRecords = []
    for source_id, raw in raws.items():
        try:
            known_keys = None if candidates else no_known_keys(reader.entity)
            candidates.append(reader.candidate(source_id, raw, known_keys))
        except InvalidRecordError as error:
            invalid.append((source_id, error))
    return candidates, invalid


@dataclass(frozen=True, slots=True)
class PageResult:
    """Records of a page by outcome, and how many the mirror had that the source changed."""

    counts: Counter[str]
    changed_count: int


@dataclass(slots=True)
class _PageWrite:
    """A page being written: what the steps of `apply_page` share, and what they have counted so far."""

    session: Session
    entity: Entity
    diff: PageDiff
    correlation_id: str
    seen_ids: Set[str]
    counts: Counter[str]
    changed_ids: set[str] = field(default_factory=set)

    @property
    def new_ids(self) -> Sequence[str]:
        """The records of the page's creation."""
        return self.diff.creation.source_ids if self.diff.creation else ()

    def enqueue(self, source_ids: Sequence[str], bulk_rank: Mapping[str, int] | None = None) -> None:
        """Have records read in detail, as bulk work; `bulk_rank` orders them."""
        items.enqueue(
            self.session,
            entity=self.entity.name,
            source_ids=source_ids,
            origin="run",
            bulk=True,
            bulk_rank=bulk_rank,
            correlation_id=self.correlation_id,
        )


def apply_page(
    session: Session,
    entity: Entity,
    diff: PageDiff,
    *,
    correlation_id: str,
    seen_ids: Set[str] = frozenset(),
) -> PageResult:
    """Write a compared page. A record whose row another transaction has locked is enqueued instead.

    `seen_ids`: records that earlier pages of this pass showed; of them only changes count. Raises `LockedError` when a
    whole table is locked.

    The order of the steps is the order of locks: the mirror before the queue, as workers lock them.
    """
    counts = _count_unwritten(diff, seen_ids)
    if diff.is_known:
        return PageResult(+counts, 0)
    page = _PageWrite(session, entity, diff, correlation_id, seen_ids, counts)
    rows = _lock_rows(page)
    candidates = _confirm_headers(page, rows) if entity.header_first else _clear_missing_values(page, rows)
    uncreated = _create_records(page)
    applied = _apply_candidates(page, [*candidates, *uncreated], rows)
    _follow_type_changes(page, applied)
    unsure = _resolve_dead_letters(page, applied)
    page.enqueue(unsure)
    _bury_invalid(page)
    return PageResult(+page.counts, len(page.changed_ids))


def _count_unwritten(diff: PageDiff, seen_ids: Set[str]) -> Counter[str]:
    """How many records of a page the mirror has as they are, and how many break the rules."""
    invalid, other_kind = {source_id for source_id, _ in diff.invalid}, set(diff.other_kind)
    equal_count, seen_before = diff.equal_count, diff.hashes.keys() & seen_ids
    if seen_before:
        created = diff.creation.source_ids if diff.creation else ()
        equal_count -= len(
            seen_before - invalid - {*created, *other_kind, *(each.source_id for each in diff.candidates)}
        )
    by_reason = {"invalid": invalid, "other_kind": other_kind, "to_read": diff.awaiting_details}
    return Counter(
        {RowOutcome.UNCHANGED: equal_count, **{name: len(ids - seen_ids) for name, ids in by_reason.items()}}
    )


def _lock_rows(page: _PageWrite) -> LockedRows:
    """Lock the mirror rows of the candidates; enqueue those that another transaction holds, and leave them out."""
    rows = try_lock_rows(page.session, page.entity, sorted(each.source_id for each in page.diff.candidates))
    if rows.blocked:
        free = [each for each in page.diff.candidates if each.source_id not in rows.blocked]
        page.diff = replace(page.diff, candidates=free)
        page.counts["to_read"] += len(rows.blocked.keys() - page.seen_ids)
        page.enqueue(list(rows.blocked))
    return rows


def _confirm_headers(page: _PageWrite, rows: LockedRows) -> list[Candidate]:
    """Of a list of partial rows: confirm the records it leaves as they are, and enqueue the details of the others.

    Returns the candidates to apply.
    """
    diff, seen_ids = page.diff, page.seen_ids
    headers = compare_headers(page.entity, diff.candidates, rows.rows, shows_changes=not diff.reads_all)
    _enqueue_details(page, headers)
    confirm(page.session, page.entity, [*headers.to_confirm, *headers.unclear], headers.current)
    if rows.has_open_findings:
        dated = [each.source_id for each in diff.candidates if not each.ahead_at]
        future_timestamps.resolve_future_times(page.session, page.entity, dated)
    page.counts.update(outcome for source_id, outcome in headers.outcomes.items() if source_id not in seen_ids)
    to_apply = [*headers.changed, *headers.never_read]
    page.counts["to_read"] += sum(each.source_id not in seen_ids for each in [*headers.unclear, *to_apply])
    page.counts["to_read"] += len(page.new_ids)
    if not diff.reads_all:
        page.changed_ids.update(each.source_id for each in headers.changed)
    return to_apply


def _enqueue_details(page: _PageWrite, headers: HeaderComparison) -> None:
    """Changed records are read first; records never read in detail follow by their rank."""
    page.enqueue([candidate.source_id for candidate in (*headers.changed, *headers.unclear)])
    bulk_rank = {each.source_id: _backfill_rank(page.entity, each) for each in headers.never_read}
    bulk_rank |= page.diff.creation.ranks if page.diff.creation else {}
    page.enqueue(list(bulk_rank), bulk_rank)


def _backfill_rank(entity: Entity, candidate: Candidate) -> int:
    return partial_rows.backfill_rank(
        entity,
        status=candidate.values.get("status"),
        modified_at=candidate.modified_at,
        read_at=candidate.read_at,
    )


def _clear_missing_values(page: _PageWrite, rows: LockedRows) -> list[Candidate]:
    """Of a list of whole rows: enqueue records that lack a value the mirror has; clear what no detail would show."""
    candidates = page.diff.candidates
    incomplete = missing_keys(page.entity, candidates, rows.rows)
    page.enqueue(incomplete)
    if not incomplete:
        return list(candidates)
    return list(cleared(page.entity, candidates, rows.rows, shown_in_details(page.session, page.entity)))


def _create_records(page: _PageWrite) -> Sequence[Candidate]:
    """Insert the page's new records with one COPY. Returns them as candidates where that failed for one of them."""
    creation = page.diff.creation
    if creation is None:
        return ()
    if not create(page.session, creation):
        return creation.candidates
    page.counts[RowOutcome.CREATED] += len(creation.source_ids)
    return ()


def _apply_candidates(page: _PageWrite, candidates: Sequence[Candidate], rows: LockedRows) -> Sequence[Applied]:
    applied = apply(page.session, page.entity, candidates, rows.rows) if candidates else []
    page.counts.update(
        each.outcome for each in applied if each.candidate.source_id not in page.seen_ids or each.outcome in CHANGES
    )
    page.changed_ids.update(each.candidate.source_id for each in applied if each.outcome in CHANGES)
    return applied


def _follow_type_changes(page: _PageWrite, applied: Sequence[Applied]) -> None:
    """Have records read that came from another entity of the same path, or went to one."""
    arrived = [each.candidate.source_id for each in applied if each.outcome in entity_moves.ARRIVALS]
    entity_moves.arrive(page.session, page.entity, [*arrived, *page.new_ids], correlation_id=page.correlation_id)
    entity_moves.set_aside(page.session, page.entity, page.diff.other_kind, correlation_id=page.correlation_id)


def _resolve_dead_letters(page: _PageWrite, applied: Sequence[Applied]) -> list[str]:
    """Resolve the dead letters of records that a list of whole rows brought.

    Returns the records that only their details can settle.
    """
    if not page.entity.list_is_complete:
        return []
    unsure = {each.candidate.source_id for each in applied if each.outcome in (RowOutcome.REFETCH, RowOutcome.STALE)}
    shown = [*(candidate.source_id for candidate in page.diff.candidates), *page.new_ids]
    outcomes = dict.fromkeys((source_id for source_id in shown if source_id not in unsure), "confirmed")
    burial.resolve(page.session, source=page.entity.stream.source, entity=page.entity.name, outcomes=outcomes)
    return [each.candidate.source_id for each in applied if each.outcome in READ_AGAIN]


def _bury_invalid(page: _PageWrite) -> None:
    """A list row that breaks the rules is a dead letter at once: reading it again would give the same."""
    letters = [
        {
            "source_id": source_id,
            "error_class": error.code,
            "error": str(error)[:2000],
            "attempts": 1,
            "priority": page.entity.priority,
            "correlation_id": page.correlation_id,
            "generation": 0,
        }
        for source_id, error in page.diff.invalid
    ]
    burial.bury(page.session, source=page.entity.stream.source, entity=page.entity.name, letters=letters)
