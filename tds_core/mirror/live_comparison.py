"""Live comparison: one record as the source shows it now, compared with the mirror's row."""

from collections.abc import Callable, Mapping, Set
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import InvalidRecordError
from tds_core.queue.items import database_clock
from tds_core.records import history
from tds_core.records.apply import read_rows
from tds_core.records.compare import differences
from tds_core.records.transform import Provenance, RecordView, transform
from tds_core.sources import rate_limit_pause
from tds_core.sources.base import Source, Traffic
from tds_core.sources.response_cache import CachedResponse, ResponseCache
from tds_core.sync import partial_rows
from tds_models.entities.declaration import Entity

Scope = Callable[[], AbstractContextManager[Session]]

# A cached response is outdated once an event of the record arrives or its row is written.
NEWER = """
select exists (select from tds_inbox_events where source = :source and entity = :entity and source_id = :id
               and received_at >= :asked_at)
    or exists (select from {table} where source = :source and source_id = :id
               and greatest(changed_at, confirmed_at) >= :asked_at)
"""


class FieldDifference(TypedDict):
    """One field: its value in the mirror and at the source."""

    field: str
    here: Any
    there: Any


class LiveComparison(TypedDict):
    """A record at the source and in the mirror.

    `verdict`: equal, different, only_there, only_here, nowhere, or unreadable (then `problem` says why). `not_shown`:
    fields and lines that have a value in the mirror and are missing in the source's response.
    """

    entity: str
    source_id: str
    asked_at: datetime
    is_cached: bool
    record: msgspec.Raw | None
    mirror_modified_at: datetime | None
    differences: list[FieldDifference]
    not_shown: list[str]
    problem: str | None
    verdict: str


def compare_live(scope: Scope, source: Source, cache: ResponseCache, entity: Entity, source_id: str) -> LiveComparison:
    """Read a record from the source, unless the cache has a current response, and compare it with the mirror's row.

    Raises SourceError.
    """
    response = cache.get(
        entity,
        source_id,
        ask=lambda: _ask(scope, source, entity, source_id),
        is_current=lambda asked_at: _is_current(scope, entity, source_id, asked_at),
    )
    with scope() as session:
        row = read_rows(session, entity, [source_id]).get(source_id)
        shown = partial_rows.shown_in_details(session, entity)
    here = row if row and row["deleted_at"] is None else None
    comparison: LiveComparison = {
        "entity": entity.name,
        "source_id": source_id,
        "asked_at": response.asked_at,
        "is_cached": response.is_cached,
        "record": None if response.record is None else msgspec.Raw(response.record),
        "mirror_modified_at": here["source_modified_at"] if here else None,
        "differences": [],
        "not_shown": [],
        "problem": None,
        "verdict": "equal",
    }
    if response.record is None or here is None:
        places = {(True, True): "only_there", (False, False): "only_here", (False, True): "nowhere"}
        comparison["verdict"] = places[response.record is not None, here is None]
        return comparison
    _compare(comparison, entity, response.record, here, shown)
    return comparison


def _compare(
    comparison: LiveComparison, entity: Entity, record: bytes, here: Mapping[str, Any], shown: Set[str]
) -> None:
    """Fill `comparison` with what differs between the source's record and the mirror's row."""
    try:
        candidate = transform(entity, record, view=RecordView.DETAIL, provenance=Provenance("operator"), shown=shown)
    except InvalidRecordError as error:
        comparison["verdict"], comparison["problem"] = "unreadable", str(error)
        return
    flaws = [f"{flaw.key}: {flaw.reason}" for flaw in candidate.flaws if not flaw.is_stored]
    comparison["problem"] = "; ".join(flaws) or None
    changes = differences(candidate, here)
    spelled = msgspec.json.decode(history.spell_changes(entity, changes))
    comparison["differences"] = [
        {"field": name, "here": before, "there": after} for name, (before, after) in spelled.items()
    ]
    values = {**candidate.values, **candidate.lines}
    names = [*(field.name for field in entity.fields), *(lines.name for lines in entity.lines)]
    comparison["not_shown"] = [name for name in names if name not in values and here[name] not in (None, [])]
    comparison["verdict"] = "different" if changes else "equal"


def _ask(scope: Scope, source: Source, entity: Entity, source_id: str) -> CachedResponse:
    with scope() as session:
        refused = rate_limit_pause.pause_left(session, entity.stream.source)
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
