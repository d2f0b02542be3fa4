"""Nemeses of processes: they are killed at the worst moment, while they hold work, or frozen until others took it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import psutil
from sqlalchemy.exc import SQLAlchemyError

from tds_lab.chaos.context import ChaosContext

TRIES = 25

Family = Sequence[psutil.Process]


def kill_child(context: ChaosContext) -> Iterator[float]:
    """A worker's process dies in the middle of its work."""
    family, held = _caught(context, [[child] for worker in context.workers() for child in worker.children()])
    _kill(context, family, held)
    yield 0.0


def kill_worker(context: ChaosContext) -> Iterator[float]:
    """A whole worker dies with all it holds."""
    families = [[worker, *worker.children()] for worker in context.workers()]
    family, held = _caught(context, [each for each in families if len(each) > 1])  # one that still starts holds nothing
    _kill(context, family, held)
    yield 0.0


def freeze_worker(context: ChaosContext) -> Iterator[float]:
    """A worker's process stands still until its lease ran out, and then goes on as if nothing had been."""
    family, _ = _caught(context, [[child] for worker in context.workers() for child in worker.children()])
    context.counts["freezes"] += 1
    yield context.environment.stack.settings.lease_seconds + 3
    _each(family, "resume")


def kill_dispatcher(context: ChaosContext) -> Iterator[float]:
    """Nobody takes leases back or looks for due work, for a moment."""
    yield from _kill_program(context, "dispatcher")


def kill_api(context: ChaosContext) -> Iterator[float]:
    """Webhooks meet a closed door, or one that closes while they speak."""
    yield from _kill_program(context, "api")


def kill_beat(context: ChaosContext) -> Iterator[float]:
    """The timetable stands still."""
    yield from _kill_program(context, "beat")


def _kill_program(context: ChaosContext, name: str) -> Iterator[float]:
    context.leader(name).kill()
    context.counts["kills"] += 1
    yield 0.0


def _kill(context: ChaosContext, family: Family, held: Mapping[int, UUID]) -> None:
    context.orphans.watch(held)
    _each(family, "kill")
    context.counts["kills"] += 1
    context.counts["orphans"] += len(held)


def _caught(context: ChaosContext, families: Sequence[Family]) -> tuple[Family, dict[int, UUID]]:
    """A family of processes, stopped, and the work items it holds: one that holds some, if one is met in time."""
    if not families:
        raise psutil.NoSuchProcess(0)
    for _ in range(TRIES):
        family = context.jitter.choice(families)
        _each(family, "suspend")
        with contextlib.suppress(SQLAlchemyError):
            if held := context.orphans.held_by([process.pid for process in family]):
                return family, held
        _each(family, "resume")
    _each(family, "suspend")
    return family, {}


def _each(family: Family, what: str) -> None:
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            getattr(process, what)()
