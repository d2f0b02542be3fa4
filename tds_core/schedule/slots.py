"""Slots: decides from a job's schedule, its last slot and the time which slot is due. It reads no clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

from tds_core.errors import ConfigError

# A slot longer ago than this is not run any more; jobs that run less often run at their next slot.
LOOK_BACK = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class DueSlot:
    """The slot that is due, and whether an earlier one was missed."""

    slot_at: datetime
    missed: bool


def latest_slot(rhythm: str, now: datetime) -> datetime | None:
    """The latest slot at or before `now` (aware). `rhythm`: five cron fields in UTC, or every:SECONDS."""
    if rhythm.startswith("every:"):
        seconds = _every(rhythm)
        return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
    try:
        previous = CronSim(rhythm, now.astimezone(UTC) + timedelta(minutes=1), reverse=True)
        slot = next(previous)
        while slot > now:
            slot = next(previous)
    except CronSimError as error:
        raise ConfigError(f"schedule {rhythm!r}: {error}. Write five cron fields (UTC) or every:SECONDS.") from None
    except StopIteration:
        return None
    return slot


def next_slot(rhythm: str, now: datetime) -> datetime:
    """The first slot after `now` (aware)."""
    if rhythm.startswith("every:"):
        seconds = _every(rhythm)
        return datetime.fromtimestamp((now.timestamp() // seconds + 1) * seconds, UTC)
    try:
        return next(CronSim(rhythm, now.astimezone(UTC)))
    except (CronSimError, StopIteration) as error:
        raise ConfigError(f"schedule {rhythm!r}: {error}. Write five cron fields (UTC) or every:SECONDS.") from None


def due_slot(rhythm: str, *, last: datetime, now: datetime) -> DueSlot | None:
    """The slot due at `now` when the last one taken (or the job's beginning) was `last`; `None` when there is none."""
    slot = latest_slot(rhythm, now)
    if slot is None or slot <= last or now - slot > LOOK_BACK:
        return None
    before = latest_slot(rhythm, slot - timedelta(seconds=1))
    return DueSlot(slot, missed=before is not None and before > last)


def _every(rhythm: str) -> int:
    try:
        seconds = int(rhythm.removeprefix("every:"))
    except ValueError:
        seconds = 0
    if seconds < 1:
        raise ConfigError(f"schedule {rhythm!r}: write every:SECONDS with a whole number of seconds above 0")
    return seconds
