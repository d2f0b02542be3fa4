"""Slots: decides from a job's schedule, its last slot and the time which slot is due. It reads no clock.

A schedule is five cron fields in UTC, the same followed by a time zone (`0 3 * * * Asia/Baghdad`), or every:SECONDS.
Where a zone changes its clocks, a slot is neither skipped nor doubled.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from tds_core.errors import ConfigError

# A slot longer ago than this is not run any more; jobs that run less often run at their next slot.
LOOK_BACK = timedelta(days=8)
_FIELDS = 5
_LOCAL = "local"


@dataclass(frozen=True, slots=True)
class DueSlot:
    """The slot that is due, and whether an earlier one was missed."""

    slot_at: datetime
    missed: bool


def in_zone(rhythm: str, zone: str) -> str:
    """The schedule of a timetable with the installation's zone in place of the word `local`."""
    fields, local, rest = rhythm.partition(f" {_LOCAL}")
    if not local or rest:
        return rhythm
    return fields if zone == "UTC" else f"{fields} {zone}"


def latest_slot(rhythm: str, now: datetime) -> datetime | None:
    """The latest slot at or before `now` (aware)."""
    if rhythm.startswith("every:"):
        seconds = _every(rhythm)
        return datetime.fromtimestamp(now.timestamp() // seconds * seconds, UTC)
    try:
        fields, zone = _cron(rhythm)
        previous = CronSim(fields, (now + timedelta(minutes=1)).astimezone(zone), reverse=True)
        slot = next(previous).astimezone(UTC)
        while slot > now:
            slot = next(previous).astimezone(UTC)
    except CronSimError as error:
        raise _unreadable(rhythm, error) from None
    except StopIteration:
        return None
    return slot


def next_slot(rhythm: str, now: datetime) -> datetime:
    """The first slot after `now` (aware)."""
    if rhythm.startswith("every:"):
        seconds = _every(rhythm)
        return datetime.fromtimestamp((now.timestamp() // seconds + 1) * seconds, UTC)
    try:
        fields, zone = _cron(rhythm)
        return next(CronSim(fields, now.astimezone(zone))).astimezone(UTC)
    except (CronSimError, StopIteration) as error:
        raise _unreadable(rhythm, error) from None


def due_slot(rhythm: str, *, last: datetime, now: datetime) -> DueSlot | None:
    """The slot due at `now` when the last one taken (or the job's beginning) was `last`; `None` when there is none."""
    slot = latest_slot(rhythm, now)
    if slot is None or slot <= last or now - slot > LOOK_BACK:
        return None
    before = latest_slot(rhythm, slot - timedelta(seconds=1))
    return DueSlot(slot, missed=before is not None and before > last)


def _cron(rhythm: str) -> tuple[str, tzinfo]:
    """The five fields of a schedule, and its time zone. Raises ConfigError for an unknown zone."""
    fields = rhythm.split()
    if len(fields) != _FIELDS + 1:
        return rhythm, UTC
    try:
        return " ".join(fields[:_FIELDS]), ZoneInfo(fields[_FIELDS])
    except (KeyError, ValueError, OSError):
        raise _unreadable(rhythm, f"there is no time zone {fields[_FIELDS]!r}") from None


def _unreadable(rhythm: str, reason: object) -> ConfigError:
    return ConfigError(
        f"schedule {rhythm!r}: {reason}. Write five cron fields (UTC), perhaps with a time zone behind them such as"
        " Asia/Baghdad, or every:SECONDS."
    )


def _every(rhythm: str) -> int:
    try:
        seconds = int(rhythm.removeprefix("every:"))
    except ValueError:
        seconds = 0
    if seconds < 1:
        raise ConfigError(f"schedule {rhythm!r}: write every:SECONDS with a whole number of seconds above 0")
    return seconds
