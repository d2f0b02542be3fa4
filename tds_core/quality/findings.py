"""Findings: written once while they are open, read by people and programs, and resolved by an operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tds_core.errors import NotFoundError
from tds_core.pagination import Page, Row, read_page
from tds_models.quality import Finding, Severity

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFinding:
    """What a finding is to say: something of `kind` about `subject`, a record or a part of the entity."""

    kind: str
    severity: Severity
    source: str
    entity: str
    subject: str
    detail: Mapping[str, Any]


_KEEP = text("""
insert into tds_findings as f (kind, severity, source, entity, subject, detail)
select kind, severity, source, entity, subject, detail
from jsonb_to_recordset(cast(:rows as jsonb)) as r(
    kind text, severity text, source text, entity text, subject text, detail jsonb)
order by kind, source, entity, subject
on conflict (kind, source, entity, subject) where resolved_at is null
do update set last_seen_at = now(), detail = f.detail || excluded.detail
returning kind, source, entity, subject, xmax = 0 as is_new
""")


def upsert(session: Session, found: Sequence[NewFinding]) -> list[NewFinding]:
    """Write findings, no two of one subject, in one statement. Returns those that were not open before."""
    if not found:
        return []
    params = {"rows": msgspec.json.encode(found).decode()}
    new = {tuple(row[:4]) for row in session.execute(_KEEP, params).all() if row.is_new}
    return [each for each in found if (each.kind, each.source, each.entity, each.subject) in new]


def report_many(session: Session, found: Sequence[NewFinding]) -> None:
    """Write findings as `upsert` does. One that is open already is seen again, and said in the log once."""
    for each in upsert(session, found):
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
    """Write a finding. One that is open already is seen again, and said in the log once."""
    found = NewFinding(kind=kind, severity=severity, source=source, entity=entity, subject=subject, detail=detail)
    report_many(session, [found])


_CLOSE = text("""
update tds_findings set resolved_at = now(), resolved_by = :by
where resolved_at is null and kind = :kind and source = :source and entity = :entity
""")


def close(session: Session, *, kind: str, source: str, entity: str, by: str) -> None:
    """Resolve what was found of `kind` about `entity`: it is over."""
    session.execute(_CLOSE, {"kind": kind, "source": source, "entity": entity, "by": by})


_IS_OPEN = text("""
select exists (select from tds_findings where resolved_at is null and kind = :kind and source = :source
               and entity = :entity)
""")


def is_open(session: Session, *, kind: str, source: str, entity: str) -> bool:
    """Whether a finding of `kind` about `entity` waits to be resolved."""
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
) -> Page:
    """Findings, the newest first."""
    statement = select(*_COLUMNS)
    for name, wanted in (("kind", kind), ("entity", entity)):
        if wanted is not None:
            statement = statement.where(_COLUMNS[name] == wanted)
    if is_open is not None:
        is_resolved = _COLUMNS["resolved_at"].is_not(None)
        statement = statement.where(~is_resolved if is_open else is_resolved)
    return read_page(session, statement, keys=[_COLUMNS["id"]], cursor=cursor, limit=limit)


_RESOLVE = text("""
update tds_findings set resolved_at = coalesce(resolved_at, now()), resolved_by = coalesce(resolved_by, :by)
where id = :id returning *
""")


def resolve(session: Session, finding_id: int, *, by: str) -> Row:
    """Close a finding; one that is closed stays as it was closed. Raises `NotFoundError`."""
    row = session.execute(_RESOLVE, {"id": finding_id, "by": by}).mappings().first() if finding_id < 2**63 else None
    if row is None:
        raise NotFoundError(f"There is no finding {finding_id}; see: tds findings")
    return dict(row)


_OPEN_SUBJECTS = text("""
select subject from tds_findings
where kind = :kind and source = :source and entity = :entity and subject = any(:subjects) and resolved_at is null
""")
_CLOSE_SUBJECTS = text("""
update tds_findings set resolved_at = now(), resolved_by = 'tds'
where kind = any(:kinds) and source = :source and entity = :entity and subject = any(:subjects) and resolved_at is null
""")


def open_subjects(session: Session, *, kind: str, source: str, entity: str, subjects: Sequence[str]) -> set[str]:
    """Those of `subjects` of which a finding of `kind` is open."""
    params = {"kind": kind, "source": source, "entity": entity, "subjects": list(subjects)}
    return set(session.execute(_OPEN_SUBJECTS, params).scalars())


def close_subjects(
    session: Session, *, kinds: Sequence[str], source: str, entity: str, subjects: Sequence[str]
) -> None:
    """Close the findings of `kinds` about `subjects`: what they told of is over."""
    params = {"kinds": list(kinds), "source": source, "entity": entity, "subjects": list(subjects)}
    session.execute(_CLOSE_SUBJECTS, params)


_OPEN = text("""
select kind, severity, count(*) from tds_findings where resolved_at is null group by 1, 2 order by 1, 2
""")


def open_counts(session: Session) -> list[Row]:
    """How many findings are open, by kind and severity."""
    return [dict(row) for row in session.execute(_OPEN).mappings()]
