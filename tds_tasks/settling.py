"""The edge that settles work: one transaction for the batch, and when one record breaks it, one for each record.

An error of ours about one record must not cost its neighbours an attempt; an outage must cost nobody one.
"""

import random
from collections.abc import Mapping

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tds_core import metrics
from tds_core.sources.errors import InvalidRecordError
from tds_core.sync.candidate import Candidate
from tds_core.sync.queue import Claim
from tds_core.sync.settle import Settlement, settle
from tds_tasks.context import scope, settings

log = structlog.get_logger(__name__)

#: Errors that say nothing about any record: the database is away or made us the victim, or our time is up.
OUTAGES = (OperationalError, InterfaceError, SoftTimeLimitExceeded)


def settle_batch(claim: Claim, *, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception]) -> Settlement:
    """Settle `candidates` and `failures` (by source id) of `claim`. Raises only OUTAGES."""
    try:
        settlement = _settle(claim, candidates, failures)
    except OUTAGES:
        raise
    except Exception as error:
        settlement = _settle_singly(claim, candidates, failures, error)
    for outcome, count in settlement.counts.items():
        metrics.sync_outcomes.labels(claim.entity, outcome).inc(count)
    for seconds in settlement.freshness_seconds:
        metrics.freshness_seconds.labels(claim.entity).observe(seconds)
    for end in settlement.ends:
        log.info("sync_item_completed", entity=claim.entity, **end)
    return settlement


def _settle(claim: Claim, candidates: Mapping[str, Candidate], failures: Mapping[str, Exception]) -> Settlement:
    with scope() as session:
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
    """The batch was refused because of `error`: find the record that breaks it, and let the others pass."""
    log.warning("sync_batch_refused", entity=claim.entity, error=type(error).__name__, item_count=len(candidates))
    total = _settle(claim, {}, failures)
    for key, candidate in candidates.items():
        try:
            settlement = _settle(claim, {key: candidate}, {})
        except OUTAGES:
            raise
        except Exception as own:
            named = _named(own)
            # What the database says goes on to quote the row, so of its errors only the first line is logged.
            shown = {"detail": str(named)} if named is not own else {"exc_info": True}
            log.error("sync_item_refused", entity=claim.entity, source_id=key, error=type(own).__name__, **shown)
            settlement = _settle(claim, {}, {key: named})
        total.counts.update(settlement.counts)
        total.to_read += settlement.to_read
        total.freshness_seconds += settlement.freshness_seconds
        total.ends += settlement.ends
    return total


def _named(error: Exception) -> Exception:
    """What the database refuses about a record (a range, a constraint) is a fault of the record."""
    if isinstance(error, DBAPIError):
        return InvalidRecordError(f"the database refused it: {str(error.orig).splitlines()[0][:300]}")
    return error
