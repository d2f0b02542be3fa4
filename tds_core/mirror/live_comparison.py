"""One record as the source shows it now, beside the mirror's row."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import InvalidRecordError
from tds_core.queue.items import database_clock
from tds_core.records import history
from tds_core.records.apply import read_rows
from tds_core.records.compare import differences
from tds_core.records.transform import Provenance, RecordView, transform
from tds_core.sources import backoff
from tds_core.sources.base import Source, Traffic
from tds_core.sources.response_cache import CachedResponse, ResponseCache
from tds_core.sync import partial_rows
from tds_models.entities.base import Entity

Scope = Callable[[], AbstractContextManager[Session]]

# Whatever came to be known of the record later makes an answer old.
NEWER = """
select exists (select from tds_inbox_events where source = :source and entity = :entity and source_id = :id
               and received_at >= :asked_at)
    or exists (select from {table} where source = :source and source_id = :id
               and greatest(changed_at, confirmed_at) >= :asked_at)
"""


def compare_live(scope: Scope, source: Source, cache: ResponseCache, entity: Entity, source_id: str) -> dict[str, Any]:
    """What the source says of a record, what the mirror says, and in which fields they differ.

    `verdict` is equal, different, only_there, only_here, nowhere, or unreadable (then `problem` says why). `not_shown`:
    fields and lines the mirror has a value of while the source, asked for one record, says nothing of them. Raises
    `SourceError`.
    """
    answer = cache.get(
        entity,
        source_id,
        ask=lambda: _ask(scope, source, entity, source_id),
        is_current=lambda asked_at: _is_current(scope, entity, source_id, asked_at),
    )
    with scope() as session:
        row = read_rows(session, entity, [source_id]).get(source_id)
        shown = partial_rows.shown_in_details(session, entity)
    here = row if row and row["deleted_at"] is None else None
    told: dict[str, Any] = {
        "entity": entity.name,
        "source_id": source_id,
        "asked_at": answer.asked_at,
        "is_cached": answer.is_cached,
        "record": None if answer.record is None else msgspec.Raw(answer.record),
        "mirror_modified_at": here["source_modified_at"] if here else None,
        "differences": [],
        "not_shown": [],
        "problem": None,
    }
    if answer.record is None or here is None:
        places = {(True, True): "only_there", (False, False): "only_here", (False, True): "nowhere"}
        return {**told, "verdict": places[answer.record is not None, here is None]}
    try:
        candidate = transform(
            entity, answer.record, view=RecordView.DETAIL, provenance=Provenance("operator"), shown=shown
        )
    except InvalidRecordError as error:
        return {**told, "verdict": "unreadable", "problem": str(error)}
    told["problem"] = "; ".join(f"{flaw.key}: {flaw.reason}" for flaw in candidate.flaws if not flaw.is_stored) or None
    found = differences(candidate, here)
    spelled = msgspec.json.decode(history.spell_changes(entity, found))
    told["differences"] = [{"field": name, "here": before, "there": after} for name, (before, after) in spelled.items()]
    said = {**candidate.values, **candidate.lines}
    ours = [*(field.name for field in entity.fields), *(lines.name for lines in entity.lines)]
    told["not_shown"] = [name for name in ours if name not in said and here[name] not in (None, [])]
    return {**told, "verdict": "different" if found else "equal"}


def _ask(scope: Scope, source: Source, entity: Entity, source_id: str) -> CachedResponse:
    with scope() as session:
        refused = backoff.pause_left(session, entity.stream.source)
        asked_at = database_clock(session)
    if refused:
        raise refused
    reading = source.read(entity.stream, [source_id], traffic=Traffic.OPERATOR)
    for error in reading.failures.values():
        raise error
    return CachedResponse(reading.records.get(source_id), asked_at)


def _is_current(scope: Scope, entity: Entity, source_id: str, asked_at: datetime) -> bool:
    params = {"source": entity.stream.source, "entity": entity.name, "id": source_id, "asked_at": asked_at}
    with scope() as session:
        return not session.execute(text(NEWER.format(table=entity.table.fullname)), params).scalar()
