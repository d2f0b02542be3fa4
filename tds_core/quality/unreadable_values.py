"""Findings of unreadable values: one for each record and field, resolved when the field is next read without error."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings, future_timestamps
from tds_core.quality.findings import NewFinding
from tds_core.quality.unstorable_values import Flaw
from tds_models.entities.declaration import Entity
from tds_models.entities.field_values import CUSTOM_KEY, CUSTOM_LIST_KEY, CUSTOM_PREFIX
from tds_models.findings import Severity

log = structlog.get_logger(__name__)

#: Kinds of these findings: the value was left out, or it was stored but is implausible.
UNREADABLE, DOUBTED = "unreadable_value", "doubted_value"
#: Who resolves them.
RESOLVED_BY = "sync"

#: SQL expression, to be part of another statement: whether any finding is open that a read may resolve.
ANY_OPEN = f"""(select exists (select from tds_findings f
        where f.kind in ('{UNREADABLE}', '{DOUBTED}',
                         '{future_timestamps.FUTURE_TIME}', '{future_timestamps.CLOCK_SET_BACK}')
        and f.source = :source and f.entity = '{{entity}}' and f.resolved_at is null))"""

_OPEN = text(f"""
select id, kind, detail ->> 'source_id' as source_id, detail ->> 'key' as key from tds_findings
where kind in ('{UNREADABLE}', '{DOUBTED}') and source = :source and entity = :entity and resolved_at is null
  and detail ->> 'source_id' = any(:ids)
""")

_RESOLVE = text("update tds_findings set resolved_at = now(), resolved_by = :by where id = any(:ids)")


def report(session: Session, entity: Entity, flaws: Mapping[str, Sequence[Flaw]]) -> None:
    """Store a finding for each flaw of these records (by source id), in one statement."""
    if not flaws:
        return
    rows: dict[tuple[str, str], tuple[Severity, dict[str, Any]]] = {}
    for source_id, flaws_of_record in flaws.items():
        for flaw in flaws_of_record:
            kind, key = _kind(flaw), _without_positions(flaw.key)
            detail = {"source_id": source_id, "field": flaw.field, "key": key, "place": flaw.key,
                      "reason": flaw.reason[:300], "value": flaw.found}  # fmt: skip
            rows.setdefault((kind, f"{source_id} {key}"), (flaw.severity, detail))
    new_findings = [
        NewFinding(
            kind=kind, severity=severity, source=entity.stream.source, entity=entity.name, subject=subject,
            detail=detail,
        )
        for (kind, subject), (severity, detail) in rows.items()
    ]  # fmt: skip
    new_count = len(findings.upsert(session, new_findings))
    if new_count:
        log.warning("values_unreadable", entity=entity.name, new_count=new_count, record_count=len(flaws))


def resolve(session: Session, entity: Entity, read: Mapping[str, tuple[Mapping[str, Any], Sequence[Flaw]]]) -> None:
    """Resolve the open findings of fields that were now read without error.

    `read`: by source id, the fields and lines the record has (by TDS's names), and its flaws.
    """
    params = {"source": entity.stream.source, "entity": entity.name, "ids": list(read)}
    names = _names(entity)
    resolved = []
    for row in session.execute(_OPEN, params):
        values, flaws = read[row.source_id]
        remaining = {(_kind(flaw), _without_positions(flaw.key)) for flaw in flaws}
        if (row.kind, row.key) not in remaining and _is_present(row.key, names, values):
            resolved.append(row.id)
    if resolved:
        session.execute(_RESOLVE, {"ids": resolved, "by": RESOLVED_BY})


def _kind(flaw: Flaw) -> str:
    return DOUBTED if flaw.is_stored else UNREADABLE


def _without_positions(key: str) -> str:
    """The key with lines named by their kind, not by their position: `line_items.rate`."""
    return "".join(part.partition("]")[2] if n else part for n, part in enumerate(key.split("[")))


def _names(entity: Entity) -> dict[str, str]:
    """TDS's names of fields and lines by the keys of the source's record."""
    names = {field.key: field.name for field in entity.fields} | {lines.key: lines.name for lines in entity.lines}
    return names | ({CUSTOM_LIST_KEY: names[CUSTOM_KEY]} if CUSTOM_KEY in names else {})


def _is_present(key: str, names: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    """Whether a record has the field or lines that `key` belongs to; undeclared ones count as present."""
    member = key.partition(".")[0]
    if member.startswith(CUSTOM_PREFIX):
        member = CUSTOM_KEY
    return member not in names or names[member] in values
