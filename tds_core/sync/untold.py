"""What list rows and webhook bodies leave untold, so that only a reading of the record can tell it."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.candidate import Candidate, Seen
from tds_models.entity import Entity
from tds_models.fields import CUSTOM


def without_custom_fields(session: Session, entity: Entity, candidates: Sequence[Candidate]) -> list[str]:
    """Those whose list row shows no custom field while the mirror has some: cleared, or not shown where it has a value.

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


SHOWN = text("select part, key from tds_known_keys where source = :source and entity = :entity and part = any(:parts)")


def cut_short(session: Session, entity: Entity, candidates: Sequence[Candidate]) -> list[str]:
    """Those that came as a webhook's body without a declared key which records of this entity are known to have.

    What such a body did not mention may have changed with the rest, and a list need not ever show it. A key no record
    was ever read with (a part of the source this organisation does not use) is not missed. While no record was read at
    all, a list that holds every declared field tells the rest; behind any other every key is missed.
    """
    unsaid = {each.source_id: each.unsaid for each in candidates if each.unsaid}
    if not unsaid:
        return []
    seen = [Seen.DETAIL, Seen.LIST] if entity.stream.list_is_complete else [Seen.DETAIL]
    parts = {(f"{each}.{lines}" if lines else str(each)): lines for each in seen for lines in ("", *entity.line_tables)}
    given = {"source": entity.stream.source, "entity": entity.name, "parts": list(parts)}
    rows = session.execute(SHOWN, given).all()
    if not rows and not entity.stream.list_is_complete:
        return list(unsaid)
    shown = {(parts[row.part], row.key) for row in rows}
    return [source_id for source_id, keys in unsaid.items() if keys & shown]
