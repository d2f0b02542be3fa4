"""Feeding: records that change because others did, without a word of their own. They are read anew."""

from collections.abc import Sequence
from functools import cache

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from tds_core.processing.siblings import SiblingResult
from tds_core.queue import items
from tds_core.records.apply import Applied
from tds_core.records.compare import WRITES
from tds_models.entities import ENTITIES
from tds_models.entities.base import Entity


@cache
def _fed(name: str) -> tuple[tuple[Entity, TextClause | None], ...]:
    """Who is fed by entity `name`, and the question for the ids where they are not the feeding record's own."""
    fed = [entity for entity in ENTITIES.values() if name in entity.fed_by]
    return tuple((entity, _named_by(ENTITIES[name], entity.fed_by[name], entity)) for entity in fed)


def _named_by(feeder: Entity, lines: str | None, fed: Entity) -> TextClause | None:
    if lines is None:
        return None
    # `product_id`, say: what the fed entity's records are records of
    declared = next(each for each in feeder.lines if each.name == lines)
    column = next(
        field.name for field in declared.fields if field.refers_to in fed.fed_by and field.refers_to != feeder.name
    )
    table = feeder.line_tables[lines].fullname
    return text(
        f"select distinct {column} from {table}"
        f" where source = :source and parent_id = any(:ids) and {column} is not null"
    )


def enqueue_dependents(
    session: Session,
    entity: Entity,
    applied: Sequence[Applied],
    *,
    told: SiblingResult | None = None,
    correlation_id: str,
) -> None:
    """Owe a reading to every record that `applied` may have changed.

    A record that shares its id with the one it feeds does so only when something changed that both of them show, and
    when the same reading has not told of both (`told`).
    """
    written = [each for each in applied if each.outcome in WRITES]
    for fed, question in _fed(entity.name) if written else ():
        if question is None:
            shown = {field.key for field in fed.fields}
            shared = {field.name for field in entity.fields if field.key in shown}
            known = told.ids(fed.name) if told else frozenset()
            moved = (each.candidate.source_id for each in written if each.changed & shared or not each.changed)
            ids = [source_id for source_id in moved if source_id not in known]
        else:
            params = {"source": entity.stream.source, "ids": [each.candidate.source_id for each in written]}
            ids = list(session.execute(question, params).scalars())
        items.enqueue(session, entity=fed.name, source_ids=ids, origin="fed", correlation_id=correlation_id)
