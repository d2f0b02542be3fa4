"""The database's clock set back: rows were changed at moments yet to come, and nobody can tell what is newer."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_models.entity import Entity
from tds_models.quality import Severity

KIND = "clock_set_back"


def look(session: Session, entity: Entity, source_ids: Sequence[str]) -> None:
    """Keep a finding when one of these rows was changed later than it is now."""
    statement = text(f"""
        select extract(epoch from max(changed_at) - clock_timestamp())::float8 from {entity.table.fullname}
        where source = :source and source_id = any(:ids) and changed_at > clock_timestamp()""")
    seconds = session.execute(statement, {"source": entity.stream.source, "ids": list(source_ids)}).scalar()
    if seconds is not None:
        detail = {"behind_seconds": round(seconds, 1), "record_count": len(source_ids)}
        findings.keep(
            session, kind=KIND, severity=Severity.ERROR, source=entity.stream.source, entity=entity.name,
            subject="the database's clock", detail=detail,
        )  # fmt: skip


def resolve(session: Session, entity: Entity) -> None:
    """Close the finding once no row was changed later than it is now."""
    statement = text(f"""
        update tds_findings f set resolved_at = now(), resolved_by = 'tds'
        where f.kind = :kind and f.source = :source and f.entity = :entity and f.resolved_at is null
          and not exists (select from {entity.table.fullname} m
                          where m.source = f.source and m.changed_at > clock_timestamp())""")
    session.execute(statement, {"kind": KIND, "source": entity.stream.source, "entity": entity.name})
