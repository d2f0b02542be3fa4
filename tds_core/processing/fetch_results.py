"""Fetch results: turns the source's responses for claimed items into candidates, tombstones and failures."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from tds_core.errors import InvalidRecordError, OtherKindError, TransientError
from tds_core.quality.future_timestamps import Clock
from tds_core.queue.items import Item
from tds_core.queue.webhook_body_selection import Event
from tds_core.records.transform import (
    Candidate,
    KnownKeys,
    Provenance,
    RecordView,
    looks_rounded,
    no_known_keys,
    tombstone,
    transform,
)
from tds_core.sources.base import FetchResult
from tds_models.entities.declaration import Entity


def interpret_fetch(
    entity: Entity,
    items: Sequence[Item],
    reading: FetchResult,
    events: Mapping[str, Sequence[Event]],
    *,
    read_at: datetime,
    known_keys: KnownKeys,
    shown: Set[str] = frozenset(),
    clock: Clock | None = None,
) -> tuple[dict[str, Candidate], dict[str, Exception]]:
    """Candidates and failures by source id for `items`, of which `reading` was asked after `read_at`.

    `known_keys`: keys already recorded by drift detection; the first record is checked in any case.
    `shown`: see `transform`. `clock`: the one to go by where the source told none.
    """
    candidates: dict[str, Candidate] = {}
    failures: dict[str, Exception] = dict(reading.failures)
    for item in items:
        key = item.source_id
        newest = events[key][-1].id if events.get(key) else None
        # What a list found and a webhook told of since, the webhook names better.
        provenance = Provenance(
            "webhook" if newest and item.origin == "run" else item.origin, newest, item.correlation_id
        )
        if key in reading.missing:
            values = _values_at_deletion(entity, key, events.get(key, ()))
            candidates[key] = tombstone(
                key, read_at=read_at, provenance=provenance, values=values, refused=reading.refused.get(key, "")
            )
        elif key in reading.records:
            try:
                candidates[key] = transform(
                    entity, reading.records[key], view=RecordView.DETAIL, read_at=read_at, provenance=provenance,
                    known_keys=known_keys if candidates else no_known_keys(entity), shown=shown,
                    clock=reading.clocks.get(key, clock),
                )  # fmt: skip
            except OtherKindError as error:
                candidates[key] = tombstone(
                    key, read_at=read_at, provenance=provenance, record=reading.records[key], why=str(error)
                )
            except InvalidRecordError as error:
                failures[key] = error
        elif key not in failures:
            failures[key] = TransientError("the source did not say anything about this record")
    return candidates, failures


def _values_at_deletion(entity: Entity, source_id: str, events: Sequence[Event]) -> Mapping[str, Any]:
    """What the newest webhook of a deletion said the record was; nothing where its id looks spoilt."""
    deletion = next((each for each in reversed(events) if each.event == "deleted"), None)
    if deletion is None or looks_rounded(source_id):
        return {}
    try:
        return transform(
            entity, deletion.record.encode(), view=RecordView.BODY, provenance=Provenance("webhook")
        ).values
    except InvalidRecordError:
        return {}
