"""Partial rows: what list rows and webhook bodies that show only part of a record prove about it. Writes nothing.

Records known only by their list rows are read in detail in the order of `backfill_rank`: open ones first, then new.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.records.apply import Row
from tds_core.records.compare import RowOutcome, decide, is_settled, is_undated
from tds_core.records.transform import Candidate, RecordView
from tds_models.entities.declaration import Entity


@dataclass(frozen=True, slots=True)
class HeaderComparison:
    """Partial list rows compared with the `current` mirror rows: unchanged, changed, and never read in detail.

    `unclear`: rows that show another value, or none, though the time of change is the same.
    """

    current: Mapping[str, Row]
    outcomes: Mapping[str, RowOutcome]
    to_confirm: Sequence[Candidate]
    unclear: Sequence[Candidate]
    changed: Sequence[Candidate]
    never_read: Sequence[Candidate]


def compare_headers(
    entity: Entity, candidates: Sequence[Candidate], current: Mapping[str, Row], *, shows_changes: bool
) -> HeaderComparison:
    """Compare partial list rows with the mirror: which records they confirm, and which have to be read in detail."""
    outcomes: dict[str, RowOutcome] = {}
    to_confirm: list[Candidate] = []
    unclear: list[Candidate] = []
    changed: list[Candidate] = []
    never_read: list[Candidate] = []
    for candidate in candidates:
        row = current.get(candidate.source_id)
        outcome = compare_header(entity, candidate, row, shows_changes=shows_changes)
        if outcome is None:
            (changed if row and row["lines_confirmed_at"] else never_read).append(candidate)
        elif outcome is RowOutcome.REFETCH:
            unclear.append(candidate)
        else:
            outcomes[candidate.source_id] = outcome
            to_confirm += [candidate] if outcome is RowOutcome.UNCHANGED else []
    return HeaderComparison(current, outcomes, to_confirm, unclear, changed, never_read)


def compare_header(entity: Entity, candidate: Candidate, row: Row | None, *, shows_changes: bool) -> RowOutcome | None:
    """The outcome of a partial list row for `row`: UNCHANGED, STALE, REFETCH, or None when the record changed.

    A row that was read well after its last change is right, however the list spells it: where it differs, or is silent
    about a value we have, a detail decides once. One that was read in the very second of the change, or that only a
    webhook told us of, is confirmed when all that the list shows agrees. Without a time of change only what the list
    shows can tell, if it tells anything.
    """
    decision = decide(candidate, row)
    if decision.outcome is RowOutcome.STALE:
        return RowOutcome.STALE
    if row is None or row["deleted_at"] is not None or row["lines_confirmed_at"] is None or not shows_changes:
        return None
    if row["source_modified_at"] != candidate.modified_at:
        return None
    is_proven = candidate.modified_at is not None and is_settled(row)
    if decision.outcome is not RowOutcome.UNCHANGED:
        return RowOutcome.REFETCH if is_proven else None
    return RowOutcome.REFETCH if lacks_listed_value(entity, candidate, row) else RowOutcome.UNCHANGED


def lacks_listed_value(entity: Entity, candidate: Candidate, row: Row) -> bool:
    """Whether a list row lacks a field that lists show and of which `row` has a value."""
    return any(
        each.listed and each.name not in candidate.values and row[each.name] is not None for each in entity.fields
    )


#: Views that show all of a record.
WHOLE = frozenset({"body", "detail"})


def missing_keys(entity: Entity, candidates: Sequence[Candidate], current: Mapping[str, Row]) -> list[str]:
    """Of a list of whole rows: the records whose row lacks a value the mirror has.

    A value was cleared, or is not shown where it has one; or the record was seen whole and has changed since, so that
    what no list shows has become old.
    """
    rows = [(each, current[each.source_id]) for each in candidates if each.source_id in current]
    return [
        each.source_id
        for each, row in rows
        if row["deleted_at"] is None and (lacks_listed_value(entity, each, row) or _outdates(each, row))
    ]


def cleared(
    entity: Entity, candidates: Sequence[Candidate], current: Mapping[str, Row], shown: Set[str]
) -> list[Candidate]:
    """The candidates of a list of whole rows, with missing values cleared where only lists show them.

    `shown`: keys that details are known to show; those are left to the detail.
    """
    alone = [each.name for each in entity.fields if each.listed and not each.detailed and each.key not in shown]
    silent = {each.source_id: [name for name in alone if name not in each.values] for each in candidates}
    return [
        replace(each, values={**each.values, **dict.fromkeys(silent[each.source_id])})
        if silent[each.source_id] and each.source_id in current
        else each
        for each in candidates
    ]


def _outdates(candidate: Candidate, row: Row) -> bool:
    ours, theirs = row["source_modified_at"], candidate.modified_at
    is_news = theirs is not None and (ours is None or theirs > ours or is_undated(row))
    return row["source_record_seen"] in WHOLE and is_news


SHOWN = text("select part, key from tds_known_keys where source = :source and entity = :entity and part = any(:parts)")


def find_cut_short(session: Session, entity: Entity, candidates: Sequence[Candidate]) -> dict[str, bool]:
    """The webhook bodies that lack a declared key which records of this entity are known to have, by source id.

    What such a body did not mention may have changed with the rest, and a list need not ever show it. A key no record
    was ever read with (a part of the source this organisation does not use) is not missed. While no record was read at
    all, a list that holds every declared field tells the rest; behind any other every key is missed. True: the record
    is to be read; False: it has no lines, and the next list that shows it has it read.
    """
    missing_keys = {each.source_id: each.missing_keys for each in candidates if each.missing_keys}
    if not missing_keys:
        return {}
    seen = [RecordView.DETAIL, RecordView.LIST] if entity.list_is_complete else [RecordView.DETAIL]
    parts = {(f"{each}.{lines}" if lines else str(each)): lines for each in seen for lines in ("", *entity.line_tables)}
    params = {"source": entity.stream.source, "entity": entity.name, "parts": list(parts)}
    rows = session.execute(SHOWN, params).all()
    if not rows and not entity.list_is_complete:
        return dict.fromkeys(missing_keys, bool(entity.lines))
    shown = {(parts[row.part], row.key) for row in rows}
    return {source_id: True for source_id, keys in missing_keys.items() if keys & shown}


def shown_in_details(session: Session, entity: Entity) -> Set[str]:
    """The keys that details of `entity` are known to show, where its declaration does not say so of all."""
    declared = {*(each.key for each in entity.fields), *(lines.key for lines in entity.lines)}
    if declared <= entity.detailed:
        return frozenset()
    params = {"source": entity.stream.source, "entity": entity.name, "parts": [RecordView.DETAIL.value]}
    return {row.key for row in session.execute(SHOWN, params)}


# Age counts by days for two weeks, then by weeks for two years; older records rank alike.
DAYS, WEEKS = 14, 102
OLDEST = DAYS + WEEKS
# Behind every record that changed.
NEVER_READ = 1


def backfill_rank(entity: Entity, *, status: str | None, modified_at: datetime | None, read_at: datetime | None) -> int:
    """The rank of a record within bulk work: 1 is an open record of today, 118 a closed one of today."""
    is_closed = status in entity.closed
    age_days = max(0, (read_at - modified_at).days) if read_at and modified_at else 0
    age = min(DAYS, age_days) + min(WEEKS, max(0, age_days - DAYS) // 7)
    return NEVER_READ + age + (OLDEST + 1 if is_closed else 0)
