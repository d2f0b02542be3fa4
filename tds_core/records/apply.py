"""Apply: the one place where the mirror changes. Rows, lines and their history, for many records at once."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import TextClause
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tds_core.database import is_contended
from tds_core.quality import clock_skew, unreadable_values
from tds_core.quality.value_errors import spell_exactly
from tds_core.records import history, row_locks
from tds_core.records.compare import WRITES, Decision, RowOutcome, decide, resets_time
from tds_core.records.row_locks import LockedError
from tds_core.records.source_record import decode
from tds_core.records.sql import Statements, statements_for
from tds_core.records.transform import Candidate, Evidence
from tds_models.entities.base import Entity
from tds_models.entities.fields import Field


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one candidate, and which of its fields and lines it changed."""

    candidate: Candidate
    outcome: RowOutcome
    changed: frozenset[str]


#: Outcomes of which the candidate's values tell nothing about the row.
UNTOLD = frozenset({RowOutcome.STALE, RowOutcome.REFETCH})

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Mirror rows with their lines, by source id, locked for us; and those that somebody else has locked."""

    rows: Mapping[str, Row]
    locked: Mapping[str, LockedError]

    @property
    def any_open(self) -> bool:
        """Whether findings are open that a reading may close."""
        return any(row["any_open"] for row in self.rows.values())


def apply(
    session: Session, entity: Entity, candidates: Iterable[Candidate], held: Mapping[str, Row] | None = None
) -> list[Applied]:
    """Bring the mirror to `candidates`, guarded by version.

    The rows are locked, in one order, until the caller's transaction ends; `held`: they are already, see `hold_rows`.
    Two candidates of one record: the later one counts. Every change is in the audit trail in the same transaction.
    """
    waiting = {candidate.source_id: candidate for candidate in candidates}
    applied: list[Applied] = []
    any_open = False
    while waiting:
        current, held = lock_rows(session, entity, sorted(waiting)) if held is None else held, None
        decided = [(candidate, decide(candidate, current.get(key))) for key, candidate in sorted(waiting.items())]
        lost = _write(session, entity, decided, current)
        applied += [
            Applied(candidate, decision.outcome, frozenset(decision.changes))
            for candidate, decision in decided
            if candidate.source_id not in lost
        ]
        # Somebody else created these in the meantime: they are rows now, so decide again, against them.
        waiting = {key: waiting[key] for key in lost}
        any_open = any_open or any(row["any_open"] for row in current.values())
    _tell_flaws(session, entity, applied, any_open)
    return applied


def _tell_flaws(session: Session, entity: Entity, applied: Sequence[Applied], any_open: bool) -> None:
    """Keep findings of what could not be read, and resolve those of what now could."""
    read = [each.candidate for each in applied if each.outcome not in UNTOLD]
    unreadable_values.keep(session, entity, {each.source_id: each.flaws for each in read if each.flaws})
    clock_skew.keep(session, entity, [each for each in read if each.ahead_at])
    if any_open:
        # What we read ourselves tells of its time also where it is no news.
        seen = [
            each.candidate for each in applied if each.outcome not in UNTOLD or each.candidate.seen is not Evidence.BODY
        ]
        clock_skew.resolve_future_times(session, entity, [each.source_id for each in seen if not each.ahead_at])
    if any_open and read:
        said = {each.source_id: ({**each.values, **each.lines}, each.flaws) for each in read}
        unreadable_values.resolve(session, entity, said)


def lock_rows(session: Session, entity: Entity, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The mirror rows of `ids` with their lines, by source id, locked until the transaction ends."""
    return _rows(session, entity, statements_for(entity.name).lock, ids)


def hold_rows(session: Session, entity: Entity, ids: Sequence[str]) -> Standing:
    """Lock the mirror rows of `ids` until the transaction ends, as far as nobody else holds them for long.

    To be called before anything of the queue is locked, so that whoever waits for a mirror row makes nobody else wait.
    Raises `LockedError` when somebody holds a whole table; the transaction is lost then.
    """
    try:
        rows = _rows(session, entity, statements_for(entity.name).hold, ids)
    except OperationalError as error:
        if not is_contended(error):
            raise
        raise LockedError(f"{row_locks.WAITS} on {entity.table.fullname}") from None
    missing = [source_id for source_id in ids if source_id not in rows]
    passed_over = row_locks.existing(session, entity, missing) if missing else []
    if not passed_over:
        return Standing(rows, {})
    # Nearly always another process of ours has them, for a moment.
    moment = session.begin_nested()
    try:
        rows |= lock_rows(session, entity, passed_over)
    except OperationalError as error:
        if not is_contended(error):
            raise
        moment.rollback()
        return Standing(rows, row_locks.held_by_others(session, entity, passed_over))
    moment.commit()
    return Standing(rows, {})


def read_rows(session: Session, entity: Entity, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The mirror rows of `ids` with their lines, by source id, as they stand."""
    return _rows(session, entity, statements_for(entity.name).read, ids)


def _rows(session: Session, entity: Entity, statement: TextClause, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    params = {"source": entity.stream.source, "ids": list(ids)}
    rows = {row["source_id"]: dict(row) for row in session.execute(statement, params).mappings()}
    _unfold(entity.fields, rows.values())
    for lines, declared in zip(statements_for(entity.name).lines, entity.lines, strict=True):
        for row in rows.values():
            row[lines.name] = []
        if rows:
            found = [dict(line) for line in session.execute(lines.read, {**params, "ids": list(rows)}).mappings()]
            _unfold(declared.fields, found)
            for line in found:
                rows[line.pop("parent_id")][lines.name].append(line)
    return rows


def _unfold(fields: Iterable[Field], rows: Iterable[dict[str, Any]]) -> None:
    """Read the nested values of rows, their numbers exact."""
    nested = [field.name for field in fields if field.kind.sql == "jsonb"]
    for row in rows if nested else ():
        for name in nested:
            if row[name] is not None:
                row[name] = decode(row[name])


Decided = Sequence[tuple[Candidate, Decision]]


def _write(session: Session, entity: Entity, decided: Decided, current: Mapping[str, Row]) -> set[str]:
    """Carry out the decisions. Returns the ids whose creation somebody else won."""
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
    """Move the standing of rows (time, fingerprint, confirmation) whose content stays as it is."""
    rows = [_row(entity, candidate, current[candidate.source_id]) for candidate in touched]
    _execute(session, entity, statements_for(entity.name).touch, rows)


def _create(session: Session, entity: Entity, statements: Statements, new: Decided) -> dict[str, int]:
    """Write new rows. Returns the versions of those that are ours; the others somebody else created just now."""
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
    """The row as it shall stand: what the candidate says, and for the rest what stood before."""
    stood = {} if current is None else {field.name: current[field.name] for field in entity.fields}
    return {
        **stood,
        **candidate.values,
        "source_id": candidate.source_id,
        "source_modified_at": candidate.modified_at,
        "record": msgspec.Raw(candidate.record),
        "record_at": candidate.ahead_at or candidate.modified_at,
        "door": None if candidate.gone else "part" if candidate.partial else candidate.seen.value,
        "whole": candidate.is_whole,
        "list_hash": candidate.list_hash.hex() if candidate.list_hash else None,
        "list_stands": changed <= entity.unlisted,
        "ahead": candidate.ahead_at is not None,
        "resets": current is not None and resets_time(candidate, current),
        "confirmed": candidate.seen is not Evidence.BODY,
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
