"""Dependents: records that change when others do, without an event of their own, are enqueued to be read."""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from tds_core.processing.sibling_entities import SiblingResult
from tds_core.queue import items
from tds_core.records.apply import Applied
from tds_core.records.compare import WRITES
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity


@cache
def _dependents(name: str) -> tuple[tuple[Entity, TextClause | None], ...]:
    """The entities that depend on entity `name`, each with a query for its ids where they are not the same."""
    dependents = [entity for entity in ENTITIES.values() if name in entity.fed_by]
    return tuple((entity, _ids_query(ENTITIES[name], entity.fed_by[name], entity)) for entity in dependents)


def _ids_query(entity: Entity, lines: str | None, dependent: Entity) -> TextClause | None:
    if lines is None:
        return None
    # `product_id`, say: the column that names the dependent's records
    declared = next(each for each in entity.lines if each.name == lines)
    column = next(
        field.name
        for field in declared.fields
        if field.refers_to in dependent.fed_by and field.refers_to != entity.name
    )
    table = entity.line_tables[lines].fullname
    return text(
        f"select distinct {column} from {table}"
        f" where source = :source and parent_id = any(:ids) and {column} is not null"
    )


def enqueue_dependents(
    session: Session,
    entity: Entity,
    applied: Sequence[Applied],
    *,
    siblings: SiblingResult | None = None,
    correlation_id: str,
) -> None:
    """Enqueue every record of a dependent entity that `applied` may have changed.

    A dependent with the same id is enqueued only when a field changed that both entities show, and when the same
    reading was not applied to both (`siblings`).
    """
    written = [each for each in applied if each.outcome in WRITES]
    for dependent, query in _dependents(entity.name) if written else ():
        if query is None:
            shown = {field.key for field in dependent.fields}
            shared = {field.name for field in entity.fields if field.key in shown}
            known = siblings.ids(dependent.name) if siblings else frozenset()
            moved = (each.candidate.source_id for each in written if each.changed & shared or not each.changed)
            ids = [source_id for source_id in moved if source_id not in known]
        else:
            params = {"source": entity.stream.source, "ids": [each.candidate.source_id for each in written]}
            ids = list(session.execute(query, params).scalars())
        items.enqueue(session, entity=dependent.name, source_ids=ids, origin="fed", correlation_id=correlation_id)
