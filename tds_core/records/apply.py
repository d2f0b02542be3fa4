"""Apply: writes candidates to the mirror. Rows, lines and history of many records; no other module changes them."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import TextClause
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tds_core.database_errors import is_contended
from tds_core.quality import future_timestamps, unreadable_values
from tds_core.quality.unstorable_values import spell_exactly
from tds_core.records import history, row_lock_waits
from tds_core.records.compare import WRITES, Decision, RowOutcome, decide, resets_time
from tds_core.records.row_lock_waits import LockedError
from tds_core.records.source_record import decode
from tds_core.records.sql import Statements, statements_for
from tds_core.records.transform import Candidate, RecordView
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import Field


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome of one candidate, and the fields and lines it changed."""

    candidate: Candidate
    outcome: RowOutcome
    changed: frozenset[str]


#: Outcomes after which the candidate's values say nothing about the row.
UNRELATED = frozenset({RowOutcome.STALE, RowOutcome.REFETCH})

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LockedRows:
    """Mirror rows with their lines, by source id, locked by this transaction; `blocked`: ids another one has locked."""

    rows: Mapping[str, Row]
    blocked: Mapping[str, LockedError]

    @property
    def has_open_findings(self) -> bool:
        """Whether findings of these rows are open that a new reading may resolve."""
        return any(row["any_open"] for row in self.rows.values())


def apply(
    session: Session, entity: Entity, candidates: Iterable[Candidate], locked: Mapping[str, Row] | None = None
) -> list[Applied]:
    """Write `candidates` to the mirror where `decide` says so, with history, in the caller's transaction.

    The rows are locked in one order until that transaction ends; `locked`: rows locked before by `try_lock_rows`.
    Of two candidates of one record the later one counts.
    """
    waiting = {candidate.source_id: candidate for candidate in candidates}
    applied: list[Applied] = []
    has_open_findings = False
    while waiting:
        current, locked = lock_rows(session, entity, sorted(waiting)) if locked is None else locked, None
        decided = [(candidate, decide(candidate, current.get(key))) for key, candidate in sorted(waiting.items())]
        lost_ids = _write(session, entity, decided, current)
        applied += [
            Applied(candidate, decision.outcome, frozenset(decision.changes))
            for candidate, decision in decided
            if candidate.source_id not in lost_ids
        ]
        # Another transaction created these in the meantime: decide again, against its rows.
        waiting = {key: waiting[key] for key in lost_ids}
        has_open_findings = has_open_findings or any(row["any_open"] for row in current.values())
    _record_flaws(session, entity, applied, has_open_findings)
    return applied


def _record_flaws(session: Session, entity: Entity, applied: Sequence[Applied], has_open_findings: bool) -> None:
    """Keep findings of values that could not be read, and resolve those of values that now could."""
    read = [each.candidate for each in applied if each.outcome not in UNRELATED]
    unreadable_values.report(session, entity, {each.source_id: each.flaws for each in read if each.flaws})
    future_timestamps.report_future_times(session, entity, [each for each in read if each.ahead_at])
    if has_open_findings:
        # A record read from the source proves its time also where it changes nothing.
        dated = [
            each.candidate.source_id
            for each in applied
            if each.outcome not in UNRELATED or each.candidate.view is not RecordView.BODY
            if not each.candidate.ahead_at
        ]
        future_timestamps.resolve_future_times(session, entity, dated)
    if has_open_findings and read:
        readings = {each.source_id: ({**each.values, **each.lines}, each.flaws) for each in read}
        unreadable_values.resolve(session, entity, readings)


def lock_rows(session: Session, entity: Entity, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The mirror rows of `ids` with their lines, by source id, locked until the transaction ends."""
    return _rows(session, entity, statements_for(entity.name).lock, ids)


def try_lock_rows(session: Session, entity: Entity, ids: Sequence[str]) -> LockedRows:
    """Lock the mirror rows of `ids` until the transaction ends; rows another transaction holds for long are `blocked`.

    Call it before anything of the queue is locked: a transaction that waits for a mirror row then blocks no other.
    Raises `LockedError` when a whole table is locked; the transaction is lost then.
    """
    try:
        rows = _rows(session, entity, statements_for(entity.name).try_lock, ids)
    except OperationalError as error:
        if not is_contended(error):
            raise
        raise LockedError(f"{row_lock_waits.WAITS} on {entity.table.fullname}") from None
    missing = [source_id for source_id in ids if source_id not in rows]
    skipped = row_lock_waits.existing(session, entity, missing) if missing else []
    if not skipped:
        return LockedRows(rows, {})
    # Nearly always another process of TDS has them, for a moment.
    savepoint = session.begin_nested()
    try:
        rows |= lock_rows(session, entity, skipped)
    except OperationalError as error:
        if not is_contended(error):
            raise
        savepoint.rollback()
        return LockedRows(rows, row_lock_waits.held_by_others(session, entity, skipped))
    savepoint.commit()
    return LockedRows(rows, {})


def read_rows(session: Session, entity: Entity, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The mirror rows of `ids` with their lines, by source id, without locking them."""
    return _rows(session, entity, statements_for(entity.name).read, ids)


def _rows(session: Session, entity: Entity, statement: TextClause, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    params = {"source": entity.stream.source, "ids": list(ids)}
    rows = {row["source_id"]: dict(row) for row in session.execute(statement, params).mappings()}
    _decode_nested(entity.fields, rows.values())
    for lines, declared in zip(statements_for(entity.name).lines, entity.lines, strict=True):
        for row in rows.values():
            row[lines.name] = []
        if rows:
            line_rows = [dict(line) for line in session.execute(lines.read, {**params, "ids": list(rows)}).mappings()]
            _decode_nested(declared.fields, line_rows)
            for line in line_rows:
                rows[line.pop("parent_id")][lines.name].append(line)
    return rows


def _decode_nested(fields: Iterable[Field], rows: Iterable[dict[str, Any]]) -> None:
    """Decode the JSON values of rows, their numbers exact."""
    nested = [field.name for field in fields if field.kind.sql == "jsonb"]
    for row in rows if nested else ():
        for name in nested:
            if row[name] is not None:
                row[name] = decode(row[name])


Decided = Sequence[tuple[Candidate, Decision]]


def _write(session: Session, entity: Entity, decided: Decided, current: Mapping[str, Row]) -> set[str]:
    """Carry out the decisions. Returns the ids of rows that another transaction created first."""
    statements = statements_for(entity.name)
    new = [(c, d) for c, d in decided if c.source_id not in current and d.outcome in WRITES]
    won = _create(session, entity, statements, new)
    changed = [(c, d) for c, d in decided if c.source_id in current and d.outcome in WRITES]
    rows = [_row(entity, c, current[c.source_id], decision.changes.keys()) for c, decision in changed]
    _execute(session, entity, statements.update, rows)
    confirm(session, entity, [c for c, d in decided if d.touch], current)
    written = [(c, d) for c, d in new if c.source_id in won] + changed
    _replace_lines(session, entity, statements, written)
    versions = {key: row["version"] + 1 for key, row in current.items()} | won
    history.record(session, entity, written, versions, new=won.keys())
    return {c.source_id for c, _ in new} - won.keys()


def confirm(session: Session, entity: Entity, touched: Sequence[Candidate], current: Mapping[str, Row]) -> None:
    """Update time, fingerprint and confirmation of rows whose content stays as it is."""
    rows = [_row(entity, candidate, current[candidate.source_id]) for candidate in touched]
    _execute(session, entity, statements_for(entity.name).touch, rows)


def _create(session: Session, entity: Entity, statements: Statements, new: Decided) -> dict[str, int]:
    """Insert new rows. Returns the versions of those inserted; another transaction has just created the others."""
    if not new:
        return {}
    rows = [_row(entity, candidate, None) for candidate, _ in new]
    params = {"source": entity.stream.source, "rows": spell_exactly(rows).decode()}
    return {row.source_id: row.version for row in session.execute(statements.insert, params)}


def _execute(session: Session, entity: Entity, statement: Any, rows: Sequence[Row]) -> None:
    if rows:
        params = {"source": entity.stream.source, "rows": spell_exactly(rows).decode()}
        session.execute(statement, {**params, "ids": [row["source_id"] for row in rows]})


def _row(entity: Entity, candidate: Candidate, current: Row | None, changed: Set[str] = frozenset()) -> dict[str, Any]:
    """The row to write: the values of the candidate, and for fields it does not have the current ones."""
    before = {} if current is None else {field.name: current[field.name] for field in entity.fields}
    return {
        **before,
        **candidate.values,
        "source_id": candidate.source_id,
        "source_modified_at": candidate.modified_at,
        "record": msgspec.Raw(candidate.record),
        "record_at": candidate.ahead_at or candidate.modified_at,
        "door": None if candidate.gone else "part" if candidate.partial else candidate.view.value,
        "whole": candidate.is_whole,
        "list_hash": candidate.list_hash.hex() if candidate.list_hash else None,
        "list_stands": changed <= entity.unlisted,
        "ahead": candidate.ahead_at is not None,
        "resets": current is not None and resets_time(candidate, current),
        "confirmed": candidate.view is not RecordView.BODY,
        "gone": candidate.gone,
    }


def _replace_lines(session: Session, entity: Entity, statements: Statements, written: Decided) -> None:
    for lines in statements.lines:
        changed = [candidate for candidate, decision in written if lines.name in decision.changes]
        if not changed:
            continue
        source = entity.stream.source
        session.execute(lines.remove, {"source": source, "ids": [candidate.source_id for candidate in changed]})
        rows = [{"parent_id": c.source_id, **line} for c in changed for line in c.lines[lines.name]]
        if rows:
            session.execute(lines.add, {"source": source, "rows": spell_exactly(rows).decode()})
