"""Findings: problems of entities and records, stored once while open, listed, and resolved by operators or by TDS."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, cast

import msgspec
import structlog
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError
from tds_core.pagination import Page, read_page
from tds_models.findings import Finding, Severity

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFinding:
    """A finding to be stored: a problem of `kind` about `subject`, which is a record or a part of the entity."""

    kind: str
    severity: Severity
    source: str
    entity: str
    subject: str
    detail: Mapping[str, Any]


class FindingRow(TypedDict):
    """A finding. `subject`: a field or a record's id; `detail`: depends on the kind; `resolved_at`: None while open."""

    id: int
    kind: str
    severity: str
    source: str
    entity: str
    subject: str
    detail: dict[str, Any]
    first_seen_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None


class OpenFindingCount(TypedDict):
    """How many findings of one kind and severity are open."""

    kind: str
    severity: str
    count: int


_UPSERT = text("""
insert into tds_findings as f (kind, severity, source, entity, subject, detail)
select kind, severity, source, entity, subject, detail
from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    kind text, severity text, source text, entity text, subject text, detail jsonb)
order by kind, source, entity, subject
on conflict (kind, source, entity, subject) where resolved_at is null
do update set last_seen_at = now(), detail = f.detail || excluded.detail
returning kind, source, entity, subject, xmax = 0 as is_new
""")


def upsert(session: Session, new_findings: Sequence[NewFinding]) -> list[NewFinding]:
    """Store findings, at most one for each kind and subject, in one statement. Returns those that were not open."""
    if not new_findings:
        return []
    params = {"rows": msgspec.json.encode(new_findings).decode()}
    opened = {tuple(row[:4]) for row in session.execute(_UPSERT, params).all() if row.is_new}
    return [each for each in new_findings if (each.kind, each.source, each.entity, each.subject) in opened]


def report_many(session: Session, new_findings: Sequence[NewFinding]) -> None:
    """Store findings as `upsert` does, and log those that were not open."""
    for each in upsert(session, new_findings):
        log.warning("finding_kept", **msgspec.to_builtins(each))


def report(
    session: Session,
    *,
    kind: str,
    severity: Severity,
    source: str,
    entity: str,
    subject: str,
    detail: Mapping[str, Any],
) -> None:
    """Store one finding, and log it if it was not open."""
    finding = NewFinding(kind=kind, severity=severity, source=source, entity=entity, subject=subject, detail=detail)
    report_many(session, [finding])


_CLOSE = text("""
update tds_findings set resolved_at = now(), resolved_by = :by
where resolved_at is null and kind = :kind and source = :source and entity = :entity
""")


def close(session: Session, *, kind: str, source: str, entity: str, by: str) -> None:
    """Resolve all findings of `kind` about `entity`."""
    session.execute(_CLOSE, {"kind": kind, "source": source, "entity": entity, "by": by})


_IS_OPEN = text("""
select exists (select from tds_findings where resolved_at is null and kind = :kind and source = :source
               and entity = :entity)
""")


def is_open(session: Session, *, kind: str, source: str, entity: str) -> bool:
    """Whether a finding of `kind` about `entity` is open."""
    return bool(session.execute(_IS_OPEN, {"kind": kind, "source": source, "entity": entity}).scalar())


_COLUMNS = Finding.__table__.columns


def findings(
    session: Session,
    *,
    cursor: str | None = None,
    limit: int = 50,
    kind: str | None = None,
    entity: str | None = None,
    is_open: bool | None = None,
) -> Page[FindingRow]:
    """A page of findings, the newest first, optionally of one kind or entity. Raises `InvalidCursorError`."""
    statement = select(*_COLUMNS)
    for name, value in (("kind", kind), ("entity", entity)):
        if value is not None:
            statement = statement.where(_COLUMNS[name] == value)
    if is_open is not None:
        is_resolved = _COLUMNS["resolved_at"].is_not(None)
        statement = statement.where(~is_resolved if is_open else is_resolved)
    return read_page(session, statement, keys=[_COLUMNS["id"]], cursor=cursor, limit=limit)


_RESOLVE = text("""
update tds_findings set resolved_at = coalesce(resolved_at, now()), resolved_by = coalesce(resolved_by, :by)
where id = :id returning *
""")


def resolve(session: Session, finding_id: int, *, by: str) -> FindingRow:
    """Resolve a finding; one resolved before stays unchanged. Returns its row. Raises `NotFoundError`."""
    row = session.execute(_RESOLVE, {"id": finding_id, "by": by}).mappings().first() if finding_id < 2**63 else None
    if row is None:
        raise NotFoundError(f"There is no finding {finding_id}; see: tds findings")
    return cast("FindingRow", dict(row))


_OPEN_SUBJECTS = text("""
select subject from tds_findings
where kind = :kind and source = :source and entity = :entity and subject = any(:subjects) and resolved_at is null
""")
_CLOSE_SUBJECTS = text("""
update tds_findings set resolved_at = now(), resolved_by = 'tds'
where kind = any(:kinds) and source = :source and entity = :entity and subject = any(:subjects) and resolved_at is null
""")


def open_subjects(session: Session, *, kind: str, source: str, entity: str, subjects: Sequence[str]) -> set[str]:
    """The subjects with an open finding of `kind`."""
    params = {"kind": kind, "source": source, "entity": entity, "subjects": list(subjects)}
    return set(session.execute(_OPEN_SUBJECTS, params).scalars())


def close_subjects(
    session: Session, *, kinds: Sequence[str], source: str, entity: str, subjects: Sequence[str]
) -> None:
    """Resolve the findings of `kinds` about `subjects`."""
    params = {"kinds": list(kinds), "source": source, "entity": entity, "subjects": list(subjects)}
    session.execute(_CLOSE_SUBJECTS, params)


_OPEN = text("""
select kind, severity, count(*) from tds_findings where resolved_at is null group by 1, 2 order by 1, 2
""")


def open_counts(session: Session) -> list[OpenFindingCount]:
    """The numbers of open findings by kind and severity."""
    return cast("list[OpenFindingCount]", [dict(row) for row in session.execute(_OPEN).mappings()])


_CLOSE_OTHERS = text("""
update tds_findings f set resolved_at = now(), resolved_by = 'tds'
where f.resolved_at is null and f.kind = any(:kinds) and not exists (
    select from jsonb_to_recordset(cast(:rows as jsonb)) as r(kind text, source text, entity text, subject text)
    where (r.kind, r.source, r.entity, r.subject) = (f.kind, f.source, f.entity, f.subject))
""")


def close_others(session: Session, *, kinds: Sequence[str], still_open: Sequence[NewFinding]) -> None:
    """Resolve the findings of `kinds` that are not among `still_open`."""
    rows = [{name: getattr(each, name) for name in ("kind", "source", "entity", "subject")} for each in still_open]
    session.execute(_CLOSE_OTHERS, {"kinds": list(kinds), "rows": msgspec.json.encode(rows).decode()})
