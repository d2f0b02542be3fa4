"""The audit trail's writer: one entry for each new version of a row, in the transaction that made it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.candidate import Candidate
from tds_core.sync.decide import Decision
from tds_models.entity import Entity

RECORD = text("""
insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, origin_id, correlation_id,
                             source_modified_at)
select :source, :entity, r.source_id, r.version, r.operation, r.changes, r.origin, r.origin_id, r.correlation_id,
       r.source_modified_at
from jsonb_to_recordset(cast(:rows as jsonb)) as r(source_id text, version int, operation text, changes jsonb,
    origin text, origin_id bigint, correlation_id text, source_modified_at timestamptz)
""")


def record(
    session: Session,
    entity: Entity,
    written: Sequence[tuple[Candidate, Decision]],
    current: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write down `written`, whose rows stood as `current` before."""
    if not written:
        return
    rows = [_entry(candidate, decision, current.get(candidate.source_id)) for candidate, decision in written]
    session.execute(
        RECORD,
        {
            "source": entity.stream.source,
            "entity": entity.name,
            "rows": msgspec.json.encode(rows).decode(),
        },
    )


def _entry(candidate: Candidate, decision: Decision, before: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "source_id": candidate.source_id,
        "version": 1 if before is None else before["version"] + 1,
        "operation": decision.outcome,
        # A created record's empty fields say nothing; leaving them out halves the trail.
        "changes": {k: v for k, v in decision.changes.items() if before is not None or v[1] is not None},
        "origin": candidate.provenance.origin,
        "origin_id": candidate.provenance.id,
        "correlation_id": candidate.provenance.correlation_id,
        "source_modified_at": candidate.modified_at,
    }
