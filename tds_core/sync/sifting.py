"""Sifting: a page the database refused is tried record by record, so that one it will never take stops no other."""

from dataclasses import replace

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tds_core.database_errors import named, refuses
from tds_core.sources.errors import InvalidRecordError
from tds_core.sync.apply import apply
from tds_core.sync.candidate import Candidate
from tds_core.sync.listing import Prepared
from tds_models.entity import Entity


def sift(session: Session, entity: Entity, prepared: Prepared) -> Prepared:
    """The page with the records the database refuses among the invalid ones. Every trial is taken back."""
    tried = [*prepared.candidates, *(prepared.creation.candidates if prepared.creation else ())]
    refused = {each.source_id: error for each in tried if (error := _refusal(session, entity, each))}
    return replace(
        prepared,
        creation=None,
        candidates=[each for each in tried if each.source_id not in refused],
        invalid=[*prepared.invalid, *refused.items()],
    )


def _refusal(session: Session, entity: Entity, candidate: Candidate) -> InvalidRecordError | None:
    trial = session.begin_nested()
    try:
        apply(session, entity, [candidate])
    except DBAPIError as error:
        if not refuses(error):
            raise
        return InvalidRecordError(str(named(error)))
    finally:
        if trial.is_active:
            trial.rollback()
    return None
