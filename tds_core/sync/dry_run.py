"""Dry run: counts the decisions a pass would make and shows them field by field; only the report is written."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import msgspec
from sqlalchemy.orm import Session

from tds_core.records import history
from tds_core.records.apply import read_rows
from tds_core.records.compare import RowOutcome, decide
from tds_core.records.transform import Candidate
from tds_core.sync import deletions, mass_change_guard
from tds_core.sync.page_apply import CHANGES, PageDiff
from tds_core.sync.partial_rows import compare_header
from tds_core.sync.runs import RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity


class ReportExample(TypedDict):
    """A record in the report of a dry run. `changes`: JSON of its fields, before and after; absent for a new one."""

    source_id: str
    name: str | None
    changes: NotRequired[msgspec.Raw]


#: How many records of each outcome the report shows; all are counted.
SHOWN_COUNT = 100
SHOWN = {RowOutcome.CREATED: "created", **dict.fromkeys(CHANGES, "updated")}

#: Header comparisons after which a pass would read the record: it changed, or the list row cannot tell.
TO_READ = (None, RowOutcome.REFETCH)


def report_page(session: Session, run: RunLease, diff: PageDiff) -> None:
    """Add to the run's report what writing this page would change; records that earlier pages showed are left out."""
    entity, seen_ids = ENTITIES[run.entity], run.seen_ids
    candidates = [*diff.candidates, *(diff.creation.candidates if diff.creation else ())]
    candidates = [each for each in candidates if each.source_id not in seen_ids]
    wrong, others = {source_id for source_id, _ in diff.invalid} - seen_ids, set(diff.other_kind) - seen_ids
    equal = set(diff.hashes) - seen_ids - wrong - others - {each.source_id for each in candidates}
    counts = {RowOutcome.UNCHANGED: len(equal), "invalid": len(wrong), "other_kind": len(others)}
    counts |= {"to_read": len(diff.awaiting_details - seen_ids)} if diff.awaiting_details else {}
    current = read_rows(session, entity, sorted(each.source_id for each in candidates))
    for candidate in candidates:
        row = current.get(candidate.source_id)
        decision = decide(candidate, row)
        counts[decision.outcome] = counts.get(decision.outcome, 0) + 1
        if decision.outcome in SHOWN:
            _show(run.report, SHOWN[decision.outcome], _example(entity, candidate, row, decision.changes))
        shows_changes = not diff.reads_all
        if entity.header_first and compare_header(entity, candidate, row, shows_changes=shows_changes) in TO_READ:
            counts["to_read"] = counts.get("to_read", 0) + 1
    run.outcomes.update(counts)


def report_absent(session: Session, run: RunLease) -> None:
    """Add to the report the records a full pass would read because the list did not show them."""
    entity = ENTITIES[run.entity]
    missing = deletions.absent(session, entity, run)
    names = mass_change_guard.names_of(session, entity, missing[:SHOWN_COUNT])
    for source_id in missing[:SHOWN_COUNT]:
        _show(run.report, "absent", {"source_id": source_id, "name": names.get(source_id)})
    run.outcomes["absent"] = len(missing)


def encode_report(report: Mapping[str, Any]) -> str:
    """The report as JSON, as it is stored."""
    return msgspec.json.encode(report).decode()


def _show(report: dict[str, Any], kind: str, example: ReportExample) -> None:
    shown = report.setdefault(kind, [])
    if len(shown) < SHOWN_COUNT:
        shown.append(example)


def _example(
    entity: Entity, candidate: Candidate, row: Mapping[str, Any] | None, changes: Mapping[str, Sequence[Any]]
) -> ReportExample:
    values = {**(row or {}), **candidate.values}
    name = next((values[key] for key in ("name", "number", "sku") if values.get(key)), None)
    example: ReportExample = {"source_id": candidate.source_id, "name": name}
    return example if row is None else {**example, "changes": msgspec.Raw(history.spell_changes(entity, changes))}
