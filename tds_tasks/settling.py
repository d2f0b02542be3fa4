"""The edge that settles work: one transaction for the batch, and when one record breaks it, one for each record.

An error of ours about one record must not cost its neighbours an attempt; an outage must cost nobody one.
"""

import random
import time
from collections.abc import Mapping

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tds_core import metrics
from tds_core.database_errors import StatementFailedError, is_away, is_contended, named
from tds_core.protections import Protection, is_off
from tds_core.sync import locks
from tds_core.sync.candidate import Candidate
from tds_core.sync.locks import LockedError
from tds_core.sync.queue import Claim
from tds_core.sync.retry import Fate
from tds_core.sync.settle import Settlement, settle
from tds_models.entities import ENTITIES
from tds_tasks.context import scope, settings
from tds_tasks.heartbeat import beating
from tds_tasks.spans import told

log = structlog.get_logger(__name__)

# So long may one batch wait for locks that are only met while its records are being written, one record after another.
LOCKS_SECONDS = 3.0
#: Errors of the database or of our time, among which are those that say nothing about any record: see `is_outage`.
OUTAGES = (OperationalError, InterfaceError, SoftTimeLimitExceeded)


def is_outage(error: BaseException) -> bool:
    """Whether `error` says nothing about any record: the database is away, or our time is up."""
    return isinstance(error, SoftTimeLimitExceeded) or is_away(error)


def settle_batch(claim: Claim, *, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception]) -> Settlement:
    """Settle `candidates` and `failures` (by source id) of `claim`.

    Raises outages, and what fails one record after another.
    """
    try:
        settlement = _settle_or_wait(claim, candidates, failures)
    except Exception as error:
        if is_outage(error):
            raise
        with beating(claim.token):  # it may have taken long, and may again
            settlement = _settle_singly(claim, candidates, failures, error)
    for outcome, count in settlement.counts.items():
        metrics.sync_outcomes.labels(claim.entity, outcome).inc(count)
    for seconds in settlement.freshness_seconds:
        metrics.freshness_seconds.labels(claim.entity).observe(seconds)
    for end in settlement.ends:
        log.info("sync_item_completed", entity=claim.entity, **end)
        told(claim, end)
        if end["outcome"] == Fate.RETRY:
            metrics.retries.labels(claim.entity, end["error"]).inc()
    return settlement


def _settle_or_wait(claim: Claim, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception]) -> Settlement:
    """Settle; what somebody else has locked waits, all of it when that is a whole table."""
    try:
        settlement = _settle(claim, candidates, failures)
    except LockedError:
        settlement = _settle(claim, {}, {**failures, **dict.fromkeys(candidates, table_held(claim))})
    for wait in settlement.waits:
        log.info("sync_waits_for_lock", entity=claim.entity, detail=wait)
    return settlement


def table_held(claim: Claim) -> LockedError:
    """Who holds a lock on the tables of the claim's entity."""
    with scope() as session:
        return locks.table_held(session, ENTITIES[claim.entity])


def _settle(claim: Claim, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception]) -> Settlement:
    with scope() as session:
        if is_off(Protection.TX):
            session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
        return settle(
            session,
            claim,
            candidates=candidates,
            failures=failures,
            max_attempts=settings().max_attempts,
            chance=random.random,
        )


def _settle_singly(
    claim: Claim, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception], error: Exception
) -> Settlement:
    """The batch was refused because of `error`: find the record that breaks it, and let the others pass.

    When one after another fails without having been refused, it is not the records: the rest is left for later. So it
    is when locks of others were waited for in turn, for a while.
    """
    log.warning("sync_batch_refused", entity=claim.entity, error=type(error).__name__, item_count=len(candidates))
    total = _settle(claim, {}, failures)
    in_vain, until = 0, time.monotonic() + LOCKS_SECONDS
    for key, candidate in candidates.items():
        try:
            settlement = _settle_or_wait(claim, {key: candidate}, {})
            in_vain = 0
        except Exception as own:
            if is_contended(own):
                total.add(_settle_or_wait(claim, {}, {key: table_held(claim)}))
                if time.monotonic() > until:
                    raise
                continue
            failure = named(own) if isinstance(own, DBAPIError) else own
            in_vain += isinstance(failure, StatementFailedError)
            if is_outage(own) or in_vain > 1:
                raise
            shown = {"detail": str(failure)} if failure is not own else {"exc_info": True}
            log.error("sync_item_refused", entity=claim.entity, source_id=key, error=type(own).__name__, **shown)
            settlement = _settle(claim, {}, {key: failure})
        total.add(settlement)
    return total
