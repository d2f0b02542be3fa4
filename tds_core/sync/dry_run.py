"""A dry run: the decisions a pass would make, counted and shown field by field; nothing is written but the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from tds_core.records import history
from tds_core.records.apply import read_rows
from tds_core.records.compare import RowOutcome, decide
from tds_core.records.transform import Candidate
from tds_core.sync import deletions, holds
from tds_core.sync.page_apply import CHANGES, PageDiff
from tds_core.sync.partial_rows import compare_header
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity

#: So many records of a kind are shown; all are counted.
SHOWN_COUNT = 100
SHOWN = {RowOutcome.CREATED: "created", **dict.fromkeys(CHANGES, "updated")}

#: What a list row says of a record that a pass would read: that it changed, or nothing clear.
TO_READ = (None, RowOutcome.REFETCH)


def look_at_page(session: Session, run: RunLease, prepared: PageDiff) -> None:
    """Enter into the run's report what writing this page would do; what another page showed is no news."""
    entity, seen = ENTITIES[run.entity], run.seen
    candidates = [*prepared.candidates, *(prepared.creation.candidates if prepared.creation else ())]
    candidates = [each for each in candidates if each.source_id not in seen]
    wrong, others = {source_id for source_id, _ in prepared.invalid} - seen, set(prepared.other_kind) - seen
    equal = set(prepared.hashes) - seen - wrong - others - {each.source_id for each in candidates}
    counts = {RowOutcome.UNCHANGED: len(equal), "invalid": len(wrong), "other_kind": len(others)}
    counts |= {"to_read": len(prepared.owed - seen)} if prepared.owed else {}
    current = read_rows(session, entity, sorted(each.source_id for each in candidates))
    for candidate in candidates:
        row = current.get(candidate.source_id)
        decision = decide(candidate, row)
        counts[decision.outcome] = counts.get(decision.outcome, 0) + 1
        if decision.outcome in SHOWN:
            _show(run.report, SHOWN[decision.outcome], _example(entity, candidate, row, decision.changes))
        shows_changes = not prepared.reads_all
        if entity.header_first and compare_header(entity, candidate, row, shows_changes=shows_changes) in TO_READ:
            counts["to_read"] = counts.get("to_read", 0) + 1
    run.outcomes.update(counts)


def look_for_absent(session: Session, run: RunLease) -> None:
    """Enter into the report what a full pass would ask for because the list did not show it."""
    entity = ENTITIES[run.entity]
    missing = deletions.absent(session, entity, run)
    names = holds.names_of(session, entity, missing[:SHOWN_COUNT])
    for source_id in missing[:SHOWN_COUNT]:
        _show(run.report, "absent", {"source_id": source_id, "name": names.get(source_id)})
    run.outcomes["absent"] = len(missing)


def spell(report: Mapping[str, Any]) -> str:
    """The report as it is stored."""
    return msgspec.json.encode(report).decode()


def _show(report: dict[str, Any], kind: str, example: Mapping[str, Any]) -> None:
    shown = report.setdefault(kind, [])
    if len(shown) < SHOWN_COUNT:
        shown.append(example)


def _example(
    entity: Entity, candidate: Candidate, row: Mapping[str, Any] | None, changes: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    values = {**(row or {}), **candidate.values}
    name = next((values[key] for key in ("name", "number", "sku") if values.get(key)), None)
    example = {"source_id": candidate.source_id, "name": name}
    return example if row is None else {**example, "changes": msgspec.Raw(history.spell_changes(entity, changes))}
