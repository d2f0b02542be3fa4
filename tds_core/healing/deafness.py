"""Decides whether a worker is deaf: alive, and not consuming. No clock here: spans of time are given."""

from collections.abc import Sequence
from dataclasses import dataclass

#: Fewer unheard canaries prove nothing: Redis may have lost one, or two.
CANARIES = 3
# Celery ends a task after 150 s (celeryconfig): who is busy for longer with nothing new is stuck, not busy.
BUSY_SECONDS = 180.0
#: Workers tell of themselves every two seconds.
TOLD_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Ear:
    """What is known of a worker, in seconds before now.

    `unanswered_count` canaries were put on the queue only it listens to since it last answered one, the first of them
    `unanswered_seconds` ago. `busy_count` are tasks in hand, without those of processes that are stopped.
    """

    silent_seconds: float
    heard_seconds: float
    loop_seconds: float
    unanswered_count: int
    unanswered_seconds: float
    busy_count: int
    slot_count: int
    lost_queues: Sequence[str]


def why_deaf(ear: Ear, *, patience_seconds: float) -> str:
    """Why this worker is deaf; empty when it is not, or when nobody can tell.

    Age alone proves nothing: canaries must have been put before it and left, and all hands full is no deafness.
    """
    if ear.silent_seconds > TOLD_SECONDS:
        return ""  # what is known of it is old
    if ear.lost_queues:
        return f"no longer consumes {', '.join(ear.lost_queues)}"
    if ear.unanswered_count < CANARIES or ear.unanswered_seconds < patience_seconds:
        return ""
    if ear.heard_seconds < ear.unanswered_seconds or _is_busy(ear, patience_seconds):
        return ""
    if ear.loop_seconds > patience_seconds:
        return f"its main loop stands still for {ear.loop_seconds:.0f} s"
    return f"left {ear.unanswered_count} canaries unheard in {ear.unanswered_seconds:.0f} s"


def _is_busy(ear: Ear, patience_seconds: float) -> bool:
    """Whether all its hands are full, so that it takes up nothing however well it hears."""
    all_full = ear.busy_count >= ear.slot_count > 0
    return all_full and ear.loop_seconds <= patience_seconds and ear.heard_seconds <= BUSY_SECONDS
