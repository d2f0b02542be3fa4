"""What a list row leaves untold: some lists show an organisation's own fields only where they have a value."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.candidate import Candidate
from tds_models.entity import Entity
from tds_models.fields import CUSTOM


def without_custom_fields(session: Session, entity: Entity, candidates: Sequence[Candidate]) -> list[str]:
    """Those whose list row shows no custom field while the mirror has some: cleared or not shown, only a reading tells.

    `candidates` were seen on a list whose rows are otherwise complete.
    """
    for field in entity.fields:
        if field.kind is CUSTOM:
            silent = [each.source_id for each in candidates if field.name not in each.values]
            if not silent:
                return []
            asked = text(
                f"select source_id from {entity.table.fullname}"
                f" where source = :source and source_id = any(:ids) and {field.name} is not null order by source_id"
            )
            return list(session.execute(asked, {"source": entity.stream.source, "ids": silent}).scalars())
    return []
