"""The trial: what was in a dying worker's hands is worked on by a process of its own, which it may end in peace.

Most of it is innocent and done like any other batch. What does end that process is halved and tried again until it is
alone: so no record that kills takes another down, nor a second worker.
"""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from tds_core.sync import queue, rescue
from tds_core.sync.queue import Claim, Item
from tds_tasks.context import scope
from tds_tasks.heartbeat import beating

log = structlog.get_logger(__name__)

# A process may be ended from outside, too: what is alone is guilty when it ended so many, one after another.
DEATHS_THAT_PROVE = 2
# A process that never ends is ended: later than any call to a source, and twice before the worker's own time is up.
LONGEST_SECONDS = 55


def hold(claim: Claim, work: Callable[[Claim], None]) -> None:
    """Have `work` done on the items of `claim` in processes of their own; quarantine those that end them.

    `work` gives its items back itself when it fails.
    """
    for item in _killers(claim, claim.items, work):
        log.error("record_kills_its_process", entity=claim.entity, source_id=item.source_id)
        with scope() as session:
            rescue.convict(session, claim, item)


def _killers(claim: Claim, items: Sequence[Item], work: Callable[[Claim], None]) -> list[Item]:
    if not items:
        return []
    part = replace(claim, items=items)
    if len(items) == 1:
        return [] if any(_survives(part, work) for _ in range(DEATHS_THAT_PROVE)) else list(items)
    if _survives(part, work):
        return []
    with scope() as session:  # what was settled before the process died is not asked for again
        left = queue.fence(session, part, items)
    middle = len(left) // 2
    return _killers(claim, left[:middle], work) + _killers(claim, left[middle:], work)


def _survives(part: Claim, work: Callable[[Claim], None]) -> bool:
    """Whether a process lives through `work`. Everything a process holds is made after the fork (`context`)."""
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST_SECONDS)
            work(part)
        except BaseException:  # the interpreter's own ways to end must not unwind into the worker's code
            os._exit(1)
        os._exit(0)
    try:
        with beating(part.token):  # begun after the fork: a thread's locks would be copied as they are
            _, status = os.waitpid(child, 0)
    except BaseException:  # our time is up: what it tried is given back, and proves nothing
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    return status == 0
