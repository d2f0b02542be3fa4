"""Batch commit: completes a batch in one transaction, or, when one record breaks it, in one for each record.

A fault of one record costs its neighbours no attempt; an outage costs no record one.
"""

import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import structlog
from celery import current_task
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tds_core.database_errors import StatementFailedError, is_away, is_contended, named
from tds_core.observability import metrics, tracing
from tds_core.processing.complete import Completion, complete_batch
from tds_core.protection_switches import Protection, is_off
from tds_core.queue.items import Claim
from tds_core.queue.retry_policy import RetryOutcome
from tds_core.queue.webhook_body_selection import Event
from tds_core.records import row_lock_waits
from tds_core.records.row_lock_waits import LockedError
from tds_core.records.transform import Candidate
from tds_models.entities import ENTITIES
from tds_tasks import task_results
from tds_tasks.context import scope, settings
from tds_tasks.worker.lease_holder_liveness import beating

#: A call names so many of the correlation ids it serves; one record may have any number of events.
MOST_SERVED = 200


def traced(claim: Claim, events: Mapping[str, Sequence[Event]]) -> AbstractContextManager[None]:
    """A span around a batch, linked to the traces of all events it works for."""
    if not tracing.is_on():
        return tracing.span("")
    threads = [event.correlation_id for each in events.values() for event in reversed(each)]
    threads += [item.correlation_id for item in claim.items]
    first, *also = list(dict.fromkeys(filter(None, threads))) or [""]
    facts = {"entity": claim.entity, "item_count": len(claim.items), "batch": str(claim.token)}
    task = current_task.request.id if current_task else None
    return tracing.span(
        "sync batch", correlation_id=first, linked_ids=also, **facts, **({"celery.task_id": task} if task else {})
    )


def served(
    claim: Claim, source_ids: Sequence[str], events: Mapping[str, Sequence[Event]]
) -> AbstractContextManager[object]:
    """Log lines of the block, those of calls to the source, carry the correlation ids that the records are read for.

    Those of one page of a batch at most; callers are added where people asked.
    """
    wanted = set(source_ids)
    items = [item for item in claim.items if item.source_id in wanted]
    ids = [item.correlation_id for item in items]
    ids += [event.correlation_id for item in items for event in events.get(item.source_id, ())]
    callers = sorted({claim.callers[each] for each in ids if each in claim.callers})
    bound: dict[str, Any] = {"correlation_ids": list(dict.fromkeys(filter(None, ids)))[:MOST_SERVED]}
    return structlog.contextvars.bound_contextvars(**bound, **({"callers": callers} if callers else {}))


def end_traces(claim: Claim, end: Mapping[str, Any]) -> None:
    """Add the end of one item to the trace of the event that was applied."""
    if tracing.is_on():
        facts = {"entity": claim.entity, "source_id": end["source_id"], "outcome": end["outcome"]}
        with tracing.span("item settled", correlation_id=end["correlation_id"], **facts):
            pass


log = structlog.get_logger(__name__)

# So long may one batch wait for locks that are only met while its records are being written, one record after another.
LOCKS_SECONDS = 3.0
#: Errors of the database or of our time, among which are those that say nothing about any record: see `is_outage`.
OUTAGES = (OperationalError, InterfaceError, SoftTimeLimitExceeded)


def is_outage(error: BaseException) -> bool:
    """Whether `error` says nothing about any record: the database is away, or our time is up."""
    return isinstance(error, SoftTimeLimitExceeded) or is_away(error)


def commit_batch(claim: Claim, *, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception]) -> Completion:
    """Complete `claim` with `candidates` and `failures`, both by source id.

    Raises outages, and errors that every record meets in turn.
    """
    try:
        completion = _complete_or_wait(claim, candidates, failures)
    except Exception as error:
        if is_outage(error):
            raise
        with beating(claim.token):  # it may have taken long, and may again
            completion = _complete_singly(claim, candidates, failures, error)
    task_results.count_records(completion.counts)
    for outcome, count in completion.counts.items():
        metrics.sync_outcomes.labels(claim.entity, outcome).inc(count)
    for seconds in completion.freshness_seconds:
        metrics.freshness_seconds.labels(claim.entity).observe(seconds)
    for end in completion.ends:
        caller = claim.callers.get(end["correlation_id"])
        log.info("sync_item_completed", entity=claim.entity, **end, **({"caller": caller} if caller else {}))
        end_traces(claim, end)
        if end["outcome"] == RetryOutcome.RETRY:
            metrics.retries.labels(claim.entity, end["error"]).inc()
    return completion


def _complete_or_wait(
    claim: Claim, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception]
) -> Completion:
    """Complete the batch; records whose rows are locked wait, all of them when a table is."""
    try:
        completion = _complete(claim, candidates, failures)
    except LockedError:
        completion = _complete(claim, {}, {**failures, **dict.fromkeys(candidates, table_held(claim))})
    for wait in completion.waits:
        log.info("sync_waits_for_lock", entity=claim.entity, detail=wait)
    return completion


def table_held(claim: Claim) -> LockedError:
    """The lock that another session holds on the tables of the claim's entity."""
    with scope() as session:
        return row_lock_waits.table_held(session, ENTITIES[claim.entity])


def _complete(claim: Claim, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception]) -> Completion:
    with scope() as session:
        if is_off(Protection.TX):
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        return complete_batch(
            session,
            claim,
            candidates=candidates,
            failures=failures,
            max_attempts=settings().max_attempts,
            jitter=random.random,
        )


def _complete_singly(
    claim: Claim, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception], error: Exception
) -> Completion:
    """The batch was refused because of `error`: find the record that breaks it, and let the others pass.

    When one after another fails without having been refused, it is not the records: the rest is left for later. So it
    is when locks of others were waited for in turn, for a while.
    """
    log.warning("sync_batch_refused", entity=claim.entity, error=type(error).__name__, item_count=len(candidates))
    total = _complete(claim, {}, failures)
    in_vain, until = 0, time.monotonic() + LOCKS_SECONDS
    for key, candidate in candidates.items():
        try:
            completion = _complete_or_wait(claim, {key: candidate}, {})
            in_vain = 0
        except Exception as own:
            if is_contended(own):
                total.add(_complete_or_wait(claim, {}, {key: table_held(claim)}))
                if time.monotonic() > until:
                    raise
                continue
            failure = named(own) if isinstance(own, DBAPIError) else own
            in_vain += isinstance(failure, StatementFailedError)
            if is_outage(own) or in_vain > 1:
                raise
            shown = {"detail": str(failure)} if failure is not own else {"exc_info": True}
            log.error("sync_item_refused", entity=claim.entity, source_id=key, error=type(own).__name__, **shown)
            completion = _complete(claim, {}, {key: failure})
        total.add(completion)
    return total
