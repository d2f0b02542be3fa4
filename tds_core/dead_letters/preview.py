"""A preview of a retry: how many letters, how old, what it costs and takes, and what it would change, on a sample.

The sample is read from the source now, as an operator's question: only that tells whether a retry helps. An edited
letter is judged by its own record; where the source cannot be asked, by the record that was kept.

How long a batch takes: bound by its throttle, by the calls of a minute and by what is left of the day.

Which dead letters are meant: by id, by group, by entity, class or age.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from tds_core.dead_letters.retry import EmptySelectionError, LockedDeadLetter, lock_dead_letters
from tds_core.errors import SNOOZE, AuthError, ConfigError, InvalidRecordError, SourceError
from tds_core.queue.items import database_clock
from tds_core.records import history
from tds_core.records.apply import read_rows
from tds_core.records.compare import decide
from tds_core.records.transform import Candidate, Provenance, RecordView, tombstone, transform
from tds_core.sources.base import FetchResult, Source, Traffic
from tds_core.sources.zoho.quota.usage import DayUsage, Usage
from tds_models.dead_letters import DeadLetter, DeadLetterRetry
from tds_models.entities import ENTITIES

DAY_SECONDS = 86_400.0


def seconds_for(calls: Mapping[str, int], *, letter_count: int, per_minute: int, usage: Usage | None) -> float | None:
    """Seconds until the last of `letter_count` letters was read, with `calls` by API at the class of operators.

    `usage`: the quota now; without it only the throttle is known. `None` when the quota leaves such calls nothing.
    """
    waits = [letter_count * 60 / per_minute]
    if usage is None:
        return waits[0]
    minute = usage.minute.ceilings.get(Traffic.OPERATOR, 0) if usage.minute.limit else 0
    if usage.minute.limit and not minute:
        return None
    if minute:
        waits.append(sum(calls.values()) * 60 / minute)
    for api, count in calls.items():
        day = usage.days.get(api)
        if day is None or not day.level.limit:
            continue
        wait = _wait_for_days(day, count, usage)
        if wait is None:
            return None
        waits.append(wait)
    return max(waits)


def _wait_for_days(day: DayUsage, count: int, usage: Usage) -> float | None:
    """Seconds until the day begins whose calls are enough for the last of `count`."""
    ceiling = day.level.ceilings.get(Traffic.OPERATOR, 0)
    over = count - max(0, ceiling - day.level.used)
    if over <= 0:
        return 0.0
    if not ceiling:
        return None
    to_reset = max(0.0, (day.resets_at - usage.at).total_seconds())
    return to_reset + (math.ceil(over / ceiling) - 1) * DAY_SECONDS


BEING_RETRIED = exists().where(DeadLetterRetry.letter_id == DeadLetter.id, DeadLetterRetry.ended_at.is_(None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Open letters that all of this is true of; what is not said bounds nothing. `everything`: all that are open."""

    ids: Sequence[int] = ()
    entity: str | None = None
    error_class: str | None = None
    fingerprint: str | None = None
    older_than_seconds: float | None = None
    everything: bool = False

    def criteria(self) -> dict[str, Any]:
        """What was asked for, as it is kept."""
        given = dataclasses.asdict(self).items()
        return {name: value for name, value in given if value or (value == 0 and value is not False)}

    def conditions(self) -> list[ColumnElement[bool]]:
        """What is true of the letters that are meant: open, and not being retried. Raises EmptySelectionError."""
        if not self.criteria():
            raise EmptySelectionError(
                "Say which letters: ids, a fingerprint, an entity, an error class, an age; or everything."
            )
        asked: list[ColumnElement[bool]] = [DeadLetter.resolved_at.is_(None), ~BEING_RETRIED]
        if self.ids:
            asked.append(DeadLetter.id.in_([each for each in self.ids if 0 < each < 2**63]))
        for column, wanted in (
            (DeadLetter.entity, self.entity),
            (DeadLetter.error_class, self.error_class),
            (DeadLetter.fingerprint, self.fingerprint),
        ):
            if wanted is not None:
                asked.append(column == wanted)
        if self.older_than_seconds is not None:
            age = func.make_interval(0, 0, 0, 0, 0, 0, self.older_than_seconds)
            asked.append(DeadLetter.last_dead_at < func.now() - age)
        return asked


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


def _sample(session: Session, selection: Selection, size: int) -> list[LockedDeadLetter]:
    ids = select(DeadLetter.id).where(*selection.conditions()).order_by(DeadLetter.priority, DeadLetter.dead_at)
    return lock_dead_letters(session, list(session.execute(ids.limit(size)).scalars()))


def _judged(scope: Scope, letters: Sequence[LockedDeadLetter], source: Callable[[str], Source]) -> list[dict[str, Any]]:
    judged = []
    for entity in dict.fromkeys(letter.entity for letter in letters):
        some = [letter for letter in letters if letter.entity == entity]
        with scope() as session:
            read_at = database_clock(session)
        ids = list(dict.fromkeys(letter.source_id for letter in some if not letter.edited))
        reading = _ask(source, entity, ids) if ids else FetchResult()
        with scope() as session:
            rows = read_rows(session, ENTITIES[entity], sorted({letter.source_id for letter in some}))
        for letter in some:
            judged.append(_judge(letter, reading, rows.get(letter.source_id), read_at))
    return judged


def _ask(source: Callable[[str], Source], entity: str, ids: Sequence[str]) -> FetchResult:
    stream = ENTITIES[entity].stream
    try:
        return source(stream.source).read(stream, ids, traffic=Traffic.OPERATOR)
    except SourceError as error:
        return FetchResult(failures=dict.fromkeys(ids, error))
    except ConfigError as error:  # what is not set up cannot be asked, like any lack of access
        return FetchResult(failures=dict.fromkeys(ids, AuthError(str(error))))


def _judge(
    letter: LockedDeadLetter, reading: FetchResult, row: Mapping[str, Any] | None, read_at: Any
) -> dict[str, Any]:
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
    changes = msgspec.json.decode(history.spell_changes(ENTITIES[letter.entity], given))
    return {**shown, "outcome": decision.outcome.value, "changes": changes}


def _candidate(letter: LockedDeadLetter, reading: FetchResult, seen: str, read_at: Any) -> Candidate:
    if letter.source_id in reading.missing:
        return tombstone(letter.source_id, read_at=read_at, provenance=_PREVIEW)
    entity = ENTITIES[letter.entity]
    if seen == "live" and letter.source_id in reading.records:
        raw = reading.records[letter.source_id]
        return transform(entity, raw, view=RecordView.DETAIL, read_at=read_at, provenance=_PREVIEW)
    return transform(entity, (letter.record or "{}").encode(), view=RecordView.BODY, provenance=_PREVIEW)
