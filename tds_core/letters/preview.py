"""A preview of a retry: how many letters, how old, what it costs and takes, and what it would change, on a sample.

The sample is read from the source now, as an operator's question: only that tells whether a retry helps. An edited
letter is judged by its own record; where the source cannot be asked, by the record that was kept.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tds_core.errors import ConfigError
from tds_core.letters.estimate import seconds_for
from tds_core.letters.reviving import Waiting, waiting_letters
from tds_core.letters.selection import Selection
from tds_core.sources.base import Reading, Source
from tds_core.sources.errors import SNOOZE, AuthError, InvalidRecordError, SourceError
from tds_core.sources.traffic import Traffic
from tds_core.sources.zoho.quota.usage import Usage
from tds_core.sync import audit
from tds_core.sync.apply import read_rows
from tds_core.sync.candidate import Candidate, Provenance, Seen, tombstone, transform
from tds_core.sync.decide import decide
from tds_core.sync.queue import database_clock
from tds_models.entities import ENTITIES
from tds_models.letters import DeadLetter

Scope = Callable[[], AbstractContextManager[Session]]
SAMPLE = 5
_PREVIEW = Provenance("preview")


def preview(
    scope: Scope,
    selection: Selection,
    *,
    per_minute: int,
    usage: Callable[[], Usage | None],
    source: Callable[[str], Source],
    sample_size: int = SAMPLE,
) -> dict[str, Any]:
    """What retrying `selection` means. Writes nothing; asks the source only for the sample, outside any transaction."""
    with scope() as session:
        found = _figures(session, selection)
        some = _sample(session, selection, sample_size)
    calls, most = _calls(found)
    return {
        "letter_count": sum(row["letter_count"] for row in found),
        "by_entity": found,
        "oldest_at": min((row["oldest_at"] for row in found), default=None),
        "newest_at": max((row["newest_at"] for row in found), default=None),
        "least_calls": calls,
        "most_calls": most,
        "per_minute": per_minute,
        "seconds": seconds_for(
            most,
            letter_count=sum(row["letter_count"] for row in found),
            per_minute=per_minute,
            usage=usage(),
        ),
        "sample": _judged(scope, some, source),
    }


def _figures(session: Session, selection: Selection) -> list[dict[str, Any]]:
    edited = DeadLetter.edited_at.is_not(None)
    statement = (
        select(
            DeadLetter.entity,
            func.count().label("letter_count"),
            func.count().filter(edited).label("edited_count"),
            func.count(DeadLetter.source_id.distinct()).filter(~edited).label("record_count"),
            func.min(DeadLetter.dead_at).label("oldest_at"),
            func.max(DeadLetter.last_dead_at).label("newest_at"),
        )
        .where(*selection.conditions())
        .group_by(DeadLetter.entity)
        .order_by(DeadLetter.entity)
    )
    return [dict(row) for row in session.execute(statement).mappings()]


def _calls(found: Sequence[Mapping[str, Any]]) -> tuple[dict[str, int], dict[str, int]]:
    """Calls to read the records, by API: when all are read in full batches, and when each is read alone."""
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    for row in found:
        stream = ENTITIES[row["entity"]].stream
        size = stream.batch.size if stream.batch else 1
        least[stream.api] = least.get(stream.api, 0) + math.ceil(row["record_count"] / size)
        most[stream.api] = most.get(stream.api, 0) + row["record_count"]
    return least, most


def _sample(session: Session, selection: Selection, size: int) -> list[Waiting]:
    ids = select(DeadLetter.id).where(*selection.conditions()).order_by(DeadLetter.priority, DeadLetter.dead_at)
    return waiting_letters(session, list(session.execute(ids.limit(size)).scalars()))


def _judged(scope: Scope, letters: Sequence[Waiting], source: Callable[[str], Source]) -> list[dict[str, Any]]:
    judged = []
    for entity in dict.fromkeys(letter.entity for letter in letters):
        some = [letter for letter in letters if letter.entity == entity]
        with scope() as session:
            read_at = database_clock(session)
        ids = list(dict.fromkeys(letter.source_id for letter in some if not letter.edited))
        reading = _ask(source, entity, ids) if ids else Reading()
        with scope() as session:
            rows = read_rows(session, ENTITIES[entity], sorted({letter.source_id for letter in some}))
        for letter in some:
            judged.append(_judge(letter, reading, rows.get(letter.source_id), read_at))
    return judged


def _ask(source: Callable[[str], Source], entity: str, ids: Sequence[str]) -> Reading:
    stream = ENTITIES[entity].stream
    try:
        return source(stream.source).read(stream, ids, traffic=Traffic.OPERATOR)
    except SourceError as error:
        return Reading(failures=dict.fromkeys(ids, error))
    except ConfigError as error:  # what is not set up cannot be asked, like any lack of access
        return Reading(failures=dict.fromkeys(ids, AuthError(str(error))))


def _judge(letter: Waiting, reading: Reading, row: Mapping[str, Any] | None, read_at: Any) -> dict[str, Any]:
    """What retrying one letter would do, and what that is judged by: live, edited or kept."""
    failure = reading.failures.get(letter.source_id)
    asked_in_vain = isinstance(failure, SNOOZE)
    seen = "edited" if letter.edited else "kept" if asked_in_vain else "live"
    shown = {"letter_id": letter.id, "entity": letter.entity, "source_id": letter.source_id, "seen": seen}
    if failure is not None and not asked_in_vain:
        return {**shown, "outcome": "fails", "error": f"{getattr(failure, 'code', 'error')}: {failure}"}
    if asked_in_vain and letter.record is None:
        return {**shown, "outcome": "unknown", "error": str(failure)}
    try:
        candidate = _candidate(letter, reading, seen, read_at)
    except InvalidRecordError as error:
        return {**shown, "outcome": "fails", "error": f"{error.code}: {error}"}
    decision = decide(candidate, row)
    given = decision.changes if row is not None else {}
    changes = msgspec.json.decode(audit.spell_changes(ENTITIES[letter.entity], given))
    return {**shown, "outcome": decision.outcome.value, "changes": changes}


def _candidate(letter: Waiting, reading: Reading, seen: str, read_at: Any) -> Candidate:
    if letter.source_id in reading.missing:
        return tombstone(letter.source_id, read_at=read_at, provenance=_PREVIEW)
    entity = ENTITIES[letter.entity]
    if seen == "live" and letter.source_id in reading.records:
        raw = reading.records[letter.source_id]
        return transform(entity, raw, seen=Seen.DETAIL, read_at=read_at, provenance=_PREVIEW)
    return transform(entity, (letter.record or "{}").encode(), seen=Seen.BODY, provenance=_PREVIEW)
