"""Retry preview: which dead letters a selection matches, what retrying them costs, and what it changes on a sample.

The sample is read from the source now, with the priority of an operator: only that shows whether a retry helps. An
edited dead letter is judged by its own record; where the source cannot be called, by the record that was kept.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NotRequired, TypedDict, cast

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
from tds_core.sources.zoho.quota.usage_snapshot import DayUsage, Usage
from tds_models.dead_letters import DeadLetter, DeadLetterRetry
from tds_models.entities import ENTITIES

DAY_SECONDS = 86_400.0


def seconds_for(calls: Mapping[str, int], *, letter_count: int, per_minute: int, usage: Usage | None) -> float | None:
    """Seconds until the last of `letter_count` records is read, with `calls` by API at an operator's priority.

    Bound by the throttle `per_minute`, the calls of a minute and those left of the day. `usage`: the quota now; without
    it only the throttle is known. None when the quota allows no such calls.
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
    """Seconds until the day begins whose calls suffice for the last of `count`; None when no day's do."""
    ceiling = day.level.ceilings.get(Traffic.OPERATOR, 0)
    over = count - max(0, ceiling - day.level.used)
    if over <= 0:
        return 0.0
    if not ceiling:
        return None
    to_reset = max(0.0, (day.resets_at - usage.at).total_seconds())
    return to_reset + (math.ceil(over / ceiling) - 1) * DAY_SECONDS


class SelectionCriteria(TypedDict, total=False):
    """The given criteria of a `Selection`."""

    ids: Sequence[int]
    entity: str
    error_class: str
    fingerprint: str
    older_than_seconds: float
    everything: bool


class EntitySelection(TypedDict):
    """The selected dead letters of an entity. `record_count`: records to be read, those edited left out.

    `oldest_at`: when the first was given up; `newest_at`: when one failed last.
    """

    entity: str
    letter_count: int
    edited_count: int
    record_count: int
    oldest_at: datetime
    newest_at: datetime


class SampleResult(TypedDict):
    """What retrying one dead letter would do. `seen`: the record it is judged by: live, edited or kept.

    `outcome`: that of its row, or fails or unknown with an `error`; `changes`: its fields, before and after.
    """

    letter_id: int
    entity: str
    source_id: str
    seen: str
    outcome: str
    error: NotRequired[str]
    changes: NotRequired[dict[str, list[Any]]]


class RetryPreview(TypedDict):
    """What a retry would cost and change. Calls are by API: `least_calls` in full batches, `most_calls` one by one.

    `seconds`: until the last is read; None when the quota leaves no such calls.
    """

    letter_count: int
    by_entity: list[EntitySelection]
    oldest_at: datetime | None
    newest_at: datetime | None
    least_calls: dict[str, int]
    most_calls: dict[str, int]
    per_minute: int
    seconds: float | None
    sample: list[SampleResult]


BEING_RETRIED = exists().where(DeadLetterRetry.letter_id == DeadLetter.id, DeadLetterRetry.ended_at.is_(None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Open dead letters that match all given criteria. `everything`: all that are open."""

    ids: Sequence[int] = ()
    entity: str | None = None
    error_class: str | None = None
    fingerprint: str | None = None
    older_than_seconds: float | None = None
    everything: bool = False

    def criteria(self) -> SelectionCriteria:
        """The given criteria by name, as they are stored with a batch."""
        fields = dataclasses.asdict(self).items()
        given = {name: value for name, value in fields if value or (value == 0 and value is not False)}
        return cast("SelectionCriteria", given)

    def conditions(self) -> list[ColumnElement[bool]]:
        """SQL conditions: the criteria, open, and not being retried. Raises EmptySelectionError."""
        if not self.criteria():
            raise EmptySelectionError(
                "Say which letters: ids, a fingerprint, an entity, an error class, an age; or everything."
            )
        conditions: list[ColumnElement[bool]] = [DeadLetter.resolved_at.is_(None), ~BEING_RETRIED]
        if self.ids:
            conditions.append(DeadLetter.id.in_([each for each in self.ids if 0 < each < 2**63]))
        for column, value in (
            (DeadLetter.entity, self.entity),
            (DeadLetter.error_class, self.error_class),
            (DeadLetter.fingerprint, self.fingerprint),
        ):
            if value is not None:
                conditions.append(column == value)
        if self.older_than_seconds is not None:
            age = func.make_interval(0, 0, 0, 0, 0, 0, self.older_than_seconds)
            conditions.append(DeadLetter.last_dead_at < func.now() - age)
        return conditions


Scope = Callable[[], AbstractContextManager[Session]]
SAMPLE_SIZE = 5
_PREVIEW = Provenance("preview")


def preview(
    scope: Scope,
    selection: Selection,
    *,
    per_minute: int,
    usage: Callable[[], Usage | None],
    source: Callable[[str], Source],
    sample_size: int = SAMPLE_SIZE,
) -> RetryPreview:
    """What retrying `selection` would cost and change. Writes nothing; reads the sample outside any transaction."""
    with scope() as session:
        counts = _count_by_entity(session, selection)
        letters = _sample(session, selection, sample_size)
    least_calls, most_calls = _calls(counts)
    letter_count = sum(row["letter_count"] for row in counts)
    return {
        "letter_count": letter_count,
        "by_entity": counts,
        "oldest_at": min((row["oldest_at"] for row in counts), default=None),
        "newest_at": max((row["newest_at"] for row in counts), default=None),
        "least_calls": least_calls,
        "most_calls": most_calls,
        "per_minute": per_minute,
        "seconds": seconds_for(
            most_calls,
            letter_count=letter_count,
            per_minute=per_minute,
            usage=usage(),
        ),
        "sample": _judge_all(scope, letters, source),
    }


def _count_by_entity(session: Session, selection: Selection) -> list[EntitySelection]:
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
    return cast("list[EntitySelection]", [dict(row) for row in session.execute(statement).mappings()])


def _calls(counts: Sequence[EntitySelection]) -> tuple[dict[str, int], dict[str, int]]:
    """Calls to read the records, by API: when all are read in full batches, and when each is read alone."""
    least: dict[str, int] = {}
    most: dict[str, int] = {}
    for row in counts:
        stream = ENTITIES[row["entity"]].stream
        size = stream.batch.size if stream.batch else 1
        least[stream.api] = least.get(stream.api, 0) + math.ceil(row["record_count"] / size)
        most[stream.api] = most.get(stream.api, 0) + row["record_count"]
    return least, most


def _sample(session: Session, selection: Selection, size: int) -> list[LockedDeadLetter]:
    ids = select(DeadLetter.id).where(*selection.conditions()).order_by(DeadLetter.priority, DeadLetter.dead_at)
    return lock_dead_letters(session, list(session.execute(ids.limit(size)).scalars()))


def _judge_all(
    scope: Scope, letters: Sequence[LockedDeadLetter], source: Callable[[str], Source]
) -> list[SampleResult]:
    judged = []
    for entity in dict.fromkeys(letter.entity for letter in letters):
        of_entity = [letter for letter in letters if letter.entity == entity]
        with scope() as session:
            read_at = database_clock(session)
        ids = list(dict.fromkeys(letter.source_id for letter in of_entity if not letter.edited))
        reading = _fetch(source, entity, ids) if ids else FetchResult()
        with scope() as session:
            rows = read_rows(session, ENTITIES[entity], sorted({letter.source_id for letter in of_entity}))
        for letter in of_entity:
            judged.append(_judge(letter, reading, rows.get(letter.source_id), read_at))
    return judged


def _fetch(source: Callable[[str], Source], entity: str, ids: Sequence[str]) -> FetchResult:
    stream = ENTITIES[entity].stream
    try:
        return source(stream.source).read(stream, ids, traffic=Traffic.OPERATOR)
    except SourceError as error:
        return FetchResult(failures=dict.fromkeys(ids, error))
    except ConfigError as error:  # a source that is not configured is handled like missing access
        return FetchResult(failures=dict.fromkeys(ids, AuthError(str(error))))


def _judge(
    letter: LockedDeadLetter, reading: FetchResult, row: Mapping[str, Any] | None, read_at: datetime
) -> SampleResult:
    """What retrying one dead letter would do, and which record that is judged by: live, edited or kept."""
    failure = reading.failures.get(letter.source_id)
    is_unavailable = isinstance(failure, SNOOZE)
    seen = "edited" if letter.edited else "kept" if is_unavailable else "live"
    shown: SampleResult = {
        "letter_id": letter.id,
        "entity": letter.entity,
        "source_id": letter.source_id,
        "seen": seen,
        "outcome": "unknown",
    }
    if failure is not None and not is_unavailable:
        return {**shown, "outcome": "fails", "error": f"{getattr(failure, 'code', 'error')}: {failure}"}
    if is_unavailable and letter.record is None:
        return {**shown, "error": str(failure)}
    try:
        candidate = _candidate(letter, reading, seen, read_at)
    except InvalidRecordError as error:
        return {**shown, "outcome": "fails", "error": f"{error.code}: {error}"}
    decision = decide(candidate, row)
    before_and_after = decision.changes if row is not None else {}
    changes = msgspec.json.decode(history.spell_changes(ENTITIES[letter.entity], before_and_after))
    return {**shown, "outcome": decision.outcome.value, "changes": changes}


def _candidate(letter: LockedDeadLetter, reading: FetchResult, seen: str, read_at: datetime) -> Candidate:
    if letter.source_id in reading.missing:
        return tombstone(letter.source_id, read_at=read_at, provenance=_PREVIEW)
    entity = ENTITIES[letter.entity]
    if seen == "live" and letter.source_id in reading.records:
        raw = reading.records[letter.source_id]
        return transform(entity, raw, view=RecordView.DETAIL, read_at=read_at, provenance=_PREVIEW)
    return transform(entity, (letter.record or "{}").encode(), view=RecordView.BODY, provenance=_PREVIEW)
