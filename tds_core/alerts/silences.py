"""Silences and maintenance windows: which alerts send no messages now, and what a new silence would mute."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, TypedDict, cast

from sqlalchemy import RowMapping, select, text
from sqlalchemy.orm import Session

from tds_core.alerts.alert_store import active_alerts, is_active
from tds_core.alerts.state_machine import AlertRecord
from tds_core.errors import ConfigError, NotFoundError, TdsError
from tds_core.pagination import Page, read_page
from tds_core.queue.items import database_clock
from tds_core.schedule.slots import latest_slot, next_slot
from tds_models.alerts import AlertSeverity, AlertSilence

LONGEST = timedelta(days=366)
LONGEST_WINDOW_SECONDS = 7 * 86_400
MOST_YEAR = 9000


class InvalidSilenceError(TdsError):
    """A silence cannot be made like this."""

    code = "invalid_silence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What a silence mutes, and when; see `tds_models.alerts.AlertSilence`. `id`: 0 before it is stored."""

    rules: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    starts_at: datetime
    ends_at: datetime
    cron: str | None = None
    duration_seconds: int | None = None
    ends_with_alerts: bool = False
    reason: str = ""
    id: int = 0

    def matches(self, alert: AlertRecord) -> bool:
        """Whether it is about this alert."""
        return self.covers(alert.rule, alert.subject, alert.severity)

    def covers(self, rule: str, subject: str, severity: str) -> bool:
        """Whether it is about alerts of this rule, subject and severity."""
        return (
            _any_fits(self.rules, rule)
            and _any_fits(self.subjects, subject)
            and (not self.severities or severity in self.severities)
        )

    def is_on(self, now: datetime) -> bool:
        """Whether it mutes at this moment."""
        if not self.starts_at <= now < self.ends_at:
            return False
        if self.cron is None:
            return True
        slot = latest_slot(self.cron, now)
        return slot is not None and now - slot < timedelta(seconds=self.duration_seconds or 0)


class SilenceRow(TypedDict):
    """A silence as it is stored, and its `SilenceState`."""

    id: int
    state: str
    rules: list[str]
    subjects: list[str]
    severities: list[str]
    reason: str
    starts_at: datetime
    ends_at: datetime
    ends_with_alerts: bool
    cron: str | None
    duration_seconds: int | None
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    ended_by: str | None


class SilenceState(StrEnum):
    """Whether a silence mutes."""

    ACTIVE = "active"
    SCHEDULED = "scheduled"  # later, or between two of its windows
    ENDED = "ended"


class SilencePreview(TypedDict):
    """What a silence would mute now. `warning`: None, or why it may not do what was meant."""

    matching_count: int
    matching: list[str]
    warning: str | None


def planned(
    session: Session,
    *,
    reason: str,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    lasts: timedelta | None = None,
    cron: str | None = None,
    **more: Any,
) -> Silence:
    """A silence as an operator asks for it: from now on, for `lasts` or until `ends_at`; a window goes on for a year.

    `more`: other members of `Silence`. Raises `InvalidSilenceError`.
    """
    now = database_clock(session)
    begins_at = starts_at or now
    if not begins_at.year < MOST_YEAR:
        raise InvalidSilenceError(f"It begins before the year {MOST_YEAR}.")
    if ends_at is not None and lasts is not None:
        raise InvalidSilenceError("Say either how long it lasts or when it ends, not both.")
    if ends_at is None and lasts is None and cron is None:
        raise InvalidSilenceError("Say how long it lasts, or when it ends.")
    if lasts is not None and lasts <= timedelta(0):
        raise InvalidSilenceError("It ends before it begins, or has ended: give a later end.")
    if lasts is not None and lasts > LONGEST:
        raise InvalidSilenceError("A silence lasts a year at most; to switch a rule off: tds alerts rules disable.")
    terms: dict[str, Any] = {
        name: tuple(value) if name in ("rules", "subjects", "severities") else value for name, value in more.items()
    }
    end_at = ends_at or begins_at + (lasts or LONGEST)
    silence = Silence(reason=reason, starts_at=begins_at, ends_at=end_at, cron=cron, **terms)
    check(silence, now)
    return silence


def _any_fits(patterns: Sequence[str], value: str) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


def silences_on(silences: Iterable[Silence], now: datetime) -> list[Silence]:
    """The silences that mute now; a window's schedule is read once, not for every alert."""
    return [each for each in silences if each.is_on(now)]


def silence_of(alert: AlertRecord, on_now: Iterable[Silence]) -> Silence | None:
    """The silence that mutes an alert, of those that are on now."""
    return next((each for each in on_now if each.matches(alert)), None)


_COLUMNS = AlertSilence.__table__.columns
_OPEN = text("""
select id, rules, subjects, severities, starts_at, ends_at, cron, duration_seconds, ends_with_alerts, reason
from tds_alert_silences where ended_at is null and ends_at > :now order by id
""")
_INSERT = text("""
insert into tds_alert_silences (rules, subjects, severities, reason, starts_at, ends_at, ends_with_alerts, cron,
                                duration_seconds, created_by)
values (:rules, :subjects, :severities, :reason, :starts_at, :ends_at, :ends_with_alerts, :cron, :duration_seconds,
        :by) returning *
""")
_END = text("""
update tds_alert_silences set ended_at = coalesce(ended_at, now()), ended_by = coalesce(ended_by, :by)
where id = :id returning *
""")
_BEGINS = text("select starts_at from tds_alert_silences where id = :id")
_EXTEND = text("""
update tds_alert_silences set ends_at = :ends_at where id = :id and ended_at is null and ends_at > now() returning *
""")


def open_silences(session: Session, now: datetime) -> list[Silence]:
    """The silences that are on now or later."""
    rows = session.execute(_OPEN, {"now": now}).mappings()
    names = ("rules", "subjects", "severities")
    return [Silence(**{**row, **{name: tuple(row[name]) for name in names}}) for row in rows]


def silences_now(session: Session) -> list[Silence]:
    """The silences that mute at this moment."""
    now = database_clock(session)
    return silences_on(open_silences(session, now), now)


def end_with_alerts(session: Session, on_now: Iterable[Silence], alerts: Iterable[AlertRecord]) -> None:
    """End those silences that are on and were to end with their alerts, of which none is active any more."""
    active = [alert for alert in alerts if is_active(alert)]
    for silence in on_now:
        if silence.ends_with_alerts and not any(silence.matches(alert) for alert in active):
            session.execute(_END, {"id": silence.id, "by": "tds"})


def preview(session: Session, silence: Silence) -> SilencePreview:
    """What a silence would mute if it were made now."""
    matching = [alert for alert in active_alerts(session) if silence.matches(alert)]
    warning = None
    if not matching and silence.ends_with_alerts:
        warning = "No alert that matches is active, so it would end at once."
    elif not matching:
        warning = "No alert that matches is active now: check the rule's name (tds alerts rules) and the subject."
    names = [f"{alert.id} {alert.rule} {alert.subject}".rstrip() for alert in matching]
    return {"matching_count": len(names), "matching": names[:50], "warning": warning}


def check(silence: Silence, now: datetime) -> None:
    """Raises `InvalidSilenceError` for what cannot be stored."""
    if not silence.reason.strip() or len(silence.reason) > 500:
        raise InvalidSilenceError("Say why: a reason of 1 to 500 characters.")
    if silence.ends_at <= max(silence.starts_at, now):
        raise InvalidSilenceError("It ends before it begins, or has ended: give a later end.")
    if silence.ends_at - silence.starts_at > LONGEST:
        raise InvalidSilenceError("A silence lasts a year at most; to switch a rule off: tds alerts rules disable.")
    if unknown := set(silence.severities) - set(AlertSeverity):
        raise InvalidSilenceError(f"No severity is called {min(unknown)!r:.80}: {', '.join(AlertSeverity)}.")
    _check_window(silence, now)


def _check_window(silence: Silence, now: datetime) -> None:
    if (silence.cron is None) != (silence.duration_seconds is None):
        raise InvalidSilenceError("A maintenance window has both a schedule (cron) and a duration.")
    if silence.cron is None:
        return
    if silence.cron.startswith("every:"):
        raise InvalidSilenceError(
            f"{silence.cron!r:.80} is no time of day: a maintenance window begins at times of the clock. Write five"
            " cron fields, perhaps with a time zone: '0 2 * * 0 Asia/Baghdad' is every Sunday at two. To silence"
            " without a break, leave the schedule out and say how long it lasts."
        )
    if silence.ends_with_alerts or not 60 <= (silence.duration_seconds or 0) <= LONGEST_WINDOW_SECONDS:
        raise InvalidSilenceError("A maintenance window lasts a minute to seven days, and does not end with alerts.")
    try:
        next_slot(silence.cron, now)
    except ConfigError as error:
        raise InvalidSilenceError(str(error)) from None


def create(session: Session, silence: Silence, *, by: str) -> SilenceRow:
    """Store a silence. Raises `InvalidSilenceError`."""
    check(silence, database_clock(session))
    params = {name: list(getattr(silence, name)) for name in ("rules", "subjects", "severities")}
    names = ("reason", "starts_at", "ends_at", "ends_with_alerts", "cron", "duration_seconds")
    params |= {name: getattr(silence, name) for name in names}
    return _row(session, session.execute(_INSERT, {**params, "by": by}).mappings().one())


def end(session: Session, silence_id: int, *, by: str) -> SilenceRow:
    """End a silence now; one that ended before stays as it is. Raises `NotFoundError`."""
    return _changed(session, silence_id, session.execute(_END, _params(silence_id, by=by)).mappings().first())


def extend(session: Session, silence_id: int, *, ends_at: datetime) -> SilenceRow:
    """Move the end of a silence that has not ended. Raises `NotFoundError` and `InvalidSilenceError`."""
    if not database_clock(session) < ends_at < database_clock(session) + LONGEST:
        raise InvalidSilenceError("The new end is in the future, and not more than a year away.")
    before = session.execute(_BEGINS, _params(silence_id)).scalar()
    if before is not None and not timedelta(0) < ends_at - before <= LONGEST:
        raise InvalidSilenceError("It ends after it begins, and lasts a year at most.")
    row = session.execute(_EXTEND, _params(silence_id, ends_at=ends_at)).mappings().first()
    return _changed(session, silence_id, row)


def _params(silence_id: int, **more: object) -> dict[str, object]:
    return {"id": silence_id if silence_id < 2**63 else -1, **more}


def _changed(session: Session, silence_id: int, row: RowMapping | None) -> SilenceRow:
    if row is None:
        raise NotFoundError(f"There is no silence {silence_id} that goes on; see: tds alerts silences")
    return _row(session, row)


def _row(session: Session, row: RowMapping | Mapping[str, Any]) -> SilenceRow:
    return cast("SilenceRow", {**row, "state": _state(row, database_clock(session))})


def _state(row: RowMapping | Mapping[str, Any], now: datetime) -> SilenceState:
    if row["ended_at"] is not None or row["ends_at"] <= now:
        return SilenceState.ENDED
    names = ("starts_at", "ends_at", "cron", "duration_seconds")
    is_on = Silence(**{name: row[name] for name in names}).is_on(now)
    return SilenceState.ACTIVE if is_on else SilenceState.SCHEDULED


def silences(
    session: Session, *, cursor: str | None = None, limit: int = 50, is_open: bool | None = None
) -> Page[SilenceRow]:
    """A page of silences, the newest first; ended ones are kept. Raises `InvalidCursorError`."""
    statement = select(*_COLUMNS)
    if is_open is not None:
        goes_on = _COLUMNS["ended_at"].is_(None) & (_COLUMNS["ends_at"] > text("now()"))
        statement = statement.where(goes_on if is_open else ~goes_on)
    page = read_page(session, statement, keys=[_COLUMNS["id"]], cursor=cursor, limit=limit)
    return Page([_row(session, row) for row in page.items], page.next_cursor)
