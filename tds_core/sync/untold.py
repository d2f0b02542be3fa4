"""What webhook bodies leave untold, so that only a reading of the record can tell it."""

from collections.abc import Sequence, Set

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.candidate import Candidate, Seen
from tds_models.entity import Entity

SHOWN = text("select part, key from tds_known_keys where source = :source and entity = :entity and part = any(:parts)")


def cut_short(session: Session, entity: Entity, candidates: Sequence[Candidate]) -> dict[str, bool]:
    """Those that came as a webhook's body without a declared key which records of this entity are known to have.

    What such a body did not mention may have changed with the rest, and a list need not ever show it. A key no record
    was ever read with (a part of the source this organisation does not use) is not missed. While no record was read at
    all, a list that holds every declared field tells the rest; behind any other every key is missed. True: the record
    is to be read; False: it has no lines, and the next list that shows it has it read.
    """
    unsaid = {each.source_id: each.unsaid for each in candidates if each.unsaid}
    if not unsaid:
        return {}
    seen = [Seen.DETAIL, Seen.LIST] if entity.list_is_complete else [Seen.DETAIL]
    parts = {(f"{each}.{lines}" if lines else str(each)): lines for each in seen for lines in ("", *entity.line_tables)}
    given = {"source": entity.stream.source, "entity": entity.name, "parts": list(parts)}
    rows = session.execute(SHOWN, given).all()
    if not rows and not entity.list_is_complete:
        return dict.fromkeys(unsaid, bool(entity.lines))
    shown = {(parts[row.part], row.key) for row in rows}
    return {source_id: True for source_id, keys in unsaid.items() if keys & shown}


def shown_in_details(session: Session, entity: Entity) -> Set[str]:
    """The keys that details of `entity` are known to show, where its declaration does not say so of all."""
    declared = {*(each.key for each in entity.fields), *(lines.key for lines in entity.lines)}
    if declared <= entity.detailed:
        return frozenset()
    given = {"source": entity.stream.source, "entity": entity.name, "parts": [Seen.DETAIL.value]}
    return {row.key for row in session.execute(SHOWN, given)}
