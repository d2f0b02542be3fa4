"""Crash isolation: runs work that may have killed a worker in a forked process, so that a crash costs only the fork.

A batch whose process dies is halved and tried again. An item is dead-lettered after it was alone in two processes that
died.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import Enum

import structlog

from tds_core.errors import TransientError
from tds_core.observability import tracing
from tds_core.processing import lease_recovery
from tds_core.queue import items as queue_items
from tds_core.queue.items import Claim, Item
from tds_core.queue.retry_policy import RetryOutcome
from tds_tasks import task_results
from tds_tasks.context import scope
from tds_tasks.work_batch_commit import commit_batch
from tds_tasks.worker.lease_holder_liveness import beating

log = structlog.get_logger(__name__)

# A process that never ends is killed before the worker's own time limit.
LONGEST_SECONDS = 55


class IsolatedEnd(Enum):
    """How a forked process ended."""

    WELL, DEAD, LATE = range(3)


def run_isolated(claim: Claim, work: Callable[[Claim], None]) -> None:
    """Run `work` on the items of `claim` in forked processes; dead-letter items that crash them.

    `work` puts its items back itself when it fails. Items that took too long count as failed: one of them is slow, or
    the source is.
    """
    for part, end in _try_parts(claim, claim.items, work):
        if end is IsolatedEnd.WELL:
            task_results.count_records({task_results.ALONE: len(part.items)})
            with scope() as session:
                queue_items.clear(session, part.items)
        elif end is IsolatedEnd.LATE:
            late = TransientError(f"not done within {LONGEST_SECONDS} seconds, in a process of its own")
            commit_batch(part, candidates={}, failures={item.source_id: late for item in part.items})
        else:
            task_results.count_records({RetryOutcome.DEAD: 1})
            log.error("record_kills_its_process", entity=claim.entity, source_id=part.items[0].source_id)
            with scope() as session:
                lease_recovery.bury_poison(session, claim, part.items[0])


def _try_parts(
    claim: Claim, items: Sequence[Item], work: Callable[[Claim], None]
) -> Iterator[tuple[Claim, IsolatedEnd]]:
    """Parts of `items` with how their process ended; a part whose process died holds one item."""
    if not items:
        return
    part = replace(claim, items=items)
    end = _end_of(part, work)
    if end is IsolatedEnd.DEAD and len(items) == 1:
        end = _end_of(part, work)  # the first may have been ended from outside
    if end is not IsolatedEnd.DEAD or len(items) == 1:
        yield part, end
        return
    with scope() as session:  # items completed before the process died are left out
        left = queue_items.fence(session, part, items)
    middle = len(left) // 2
    yield from _try_parts(claim, left[:middle], work)
    yield from _try_parts(claim, left[middle:], work)


def _end_of(part: Claim, work: Callable[[Claim], None]) -> IsolatedEnd:
    """How a process ends that does `work`. Everything a process holds is made after the fork (`context`)."""
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST_SECONDS)
            work(part)
            tracing.stop_tracing()
        except BaseException:  # the interpreter's own ways to end must not unwind into the worker's code
            os._exit(1)
        os._exit(0)
    status = None
    try:
        with beating(part.token):  # begun after the fork: a thread's locks would be copied as they are
            _, status = os.waitpid(child, 0)
    finally:
        if status is None:  # our time is up: what it tried is given back, and proves nothing
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return IsolatedEnd.LATE
    return IsolatedEnd.WELL if status == 0 else IsolatedEnd.DEAD
