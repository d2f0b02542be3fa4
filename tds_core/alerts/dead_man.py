"""The dead man's switch: an address outside is called once a minute, only while TDS makes progress.

Whoever watches that address learns what TDS cannot tell by itself: that its machine is gone, or all of its processes. A
call says more than that a process lives: the database answers, due work is done, slots are taken and rules evaluated.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import requests
import structlog
from sqlalchemy.exc import SQLAlchemyError

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.messages import installation_name
from tds_core.alerts.rules.queue import standstill
from tds_core.alerts.text_formatting import span
from tds_core.config.settings import Settings
from tds_core.health.dead_man_switch import PULSE
from tds_core.observability import heartbeats

log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0
CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 5.0
#: A call that hangs longer is left to itself.
HANGING_SECONDS = 30.0
#: Progress has stopped once there was a reason against it for so long: a restart of PostgreSQL is shorter.
PATIENCE_SECONDS = 60.0
#: Work may be due for so long without any being done: alerts of rules come sooner.
STANDSTILL_SECONDS = 180.0
#: Rules are evaluated every 15 seconds.
UNEVALUATED_SECONDS = 60.0
#: A look comes a little sooner or later than the last.
LOOK_TOLERANCE_SECONDS = 5.0
HANGING = "no answer"
_SUCCESS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What progress is judged by. `standstill_seconds`: for how long work has been due and none was done.

    `overdue_slots`: seconds by job. `unevaluated_seconds`: since rules were last evaluated; None if they never were.
    """

    has_database: bool
    standstill_seconds: float = 0.0
    overdue_slots: Mapping[str, float] = field(default_factory=dict)
    unevaluated_seconds: float | None


def why_not(progress: Progress) -> str:
    """Why TDS makes no progress; "" while it makes some."""
    if not progress.has_database:
        return "PostgreSQL cannot be reached"
    if progress.unevaluated_seconds is None:
        return "alerts have not been evaluated yet"
    if progress.unevaluated_seconds > UNEVALUATED_SECONDS:
        return f"alerts have not been evaluated for {span(progress.unevaluated_seconds)}"
    if progress.standstill_seconds > STANDSTILL_SECONDS:
        return f"work has been due for {span(progress.standstill_seconds)}, and none was done since"
    if progress.overdue_slots:
        jobs = ", ".join(sorted(progress.overdue_slots, key=lambda job: -progress.overdue_slots[job])[:3])
        return f"no process takes the slots of the timetable that are due: {jobs}"
    return ""


class OutsideCall:
    """One call of an address, in a thread. `error`: None while it runs, "" once it was answered with success."""

    def __init__(self, method: str, url: str, text: str) -> None:
        self.reason = text
        self.error: str | None = None
        self.began_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(method, url), name="heartbeat", daemon=True)
        self._thread.start()

    @property
    def may_end(self) -> bool:
        """Whether it runs, and not for too long."""
        return self.error is None and time.monotonic() - self.began_at < HANGING_SECONDS

    def join(self) -> None:
        """Wait until it ends, or hangs."""
        self._thread.join(HANGING_SECONDS)

    def _run(self, method: str, url: str) -> None:
        try:
            with requests.Session() as session:
                session.trust_env = False
                timeout = (CONNECT_SECONDS, ANSWER_SECONDS)
                with session.request(
                    method, url, data=self.reason.encode() or None, timeout=timeout, allow_redirects=False, stream=True
                ) as response:
                    is_success = response.status_code // 100 == _SUCCESS
                    self.error = "" if is_success else f"the answer was {response.status_code}"
        except Exception as error:  # the address is part of most messages, and is a secret
            self.error = type(error).__name__


class DeadManSwitch:
    """Calls the addresses of TDS_HEARTBEAT_URL and TDS_HEARTBEAT_FAIL_URL; does nothing where they are not set.

    One process at a time has one: the one that evaluates the rules.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._progress_at = time.monotonic()
        self._has_stopped = False
        self._is_due_at = 0.0
        self._call: OutsideCall | None = None

    def look(self, facts: AlertFacts | None, evaluated_at: float | None) -> None:
        """Call if it is time to; blocks for nothing but the facts. Raises nothing of what it meets.

        `facts`: None while the database is away. `evaluated_at`: when rules were last evaluated, by the monotonic
        clock; None if they never were.
        """
        if not self._settings.heartbeat_url:
            return
        try:
            self._look(facts, evaluated_at, time.monotonic())
        except Exception as error:  # whoever watches outside sees that no call comes any more
            log.warning("heartbeat_failed", error=type(error).__name__)

    def join(self) -> None:
        """Wait for the call under way."""
        if self._call is not None:
            self._call.join()

    def _look(self, facts: AlertFacts | None, evaluated_at: float | None, now: float) -> None:
        progress = _progress(facts, None if evaluated_at is None else now - evaluated_at)
        reason = why_not(progress)
        self._finish(facts if progress.has_database else None)
        if not reason:
            if self._has_stopped:
                log.info("progress_resumed", silent_seconds=round(now - self._progress_at))
                self._is_due_at = now
            self._progress_at, self._has_stopped = now, False
        elif not self._has_stopped:
            if now - self._progress_at < PATIENCE_SECONDS:
                return
            log.error("progress_stopped", reason=reason)
            self._has_stopped, self._is_due_at = True, now
        if now >= self._is_due_at and not (self._call and self._call.may_end):
            self._begin(reason, now)

    def _begin(self, reason: str, now: float) -> None:
        """Call; where progress stopped, the other address with the reason, until it takes it once."""
        self._is_due_at = now + EVERY_SECONDS - LOOK_TOLERANCE_SECONDS
        if not reason:
            self._call = OutsideCall("GET", self._settings.heartbeat_url, "")
        elif self._settings.heartbeat_fail_url:
            says = f"TDS {installation_name(self._settings)} makes no progress: {reason}"
            self._call = OutsideCall("POST", self._settings.heartbeat_fail_url, says)

    def _finish(self, facts: AlertFacts | None) -> None:
        """Write down how the last call ended."""
        call = self._call
        if call is None or call.may_end:
            return
        error = HANGING if call.error is None else call.error
        if facts is not None:
            with facts.scope() as session:
                heartbeats.beat(session, PULSE, error=error, reason=call.reason)
        if error:
            log.warning("heartbeat_not_taken", error=error)
        elif call.reason:
            self._is_due_at = float("inf")  # told once; the next call says that there is progress again
        self._call = None


def _progress(facts: AlertFacts | None, unevaluated_seconds: float | None) -> Progress:
    """What is known of progress; a database that does not answer now counts as away."""
    if facts is None:
        return Progress(has_database=False, unevaluated_seconds=unevaluated_seconds)
    try:
        waited = next((reading.value for reading in standstill(facts)), 0.0)
        overdue = facts.health["overdue_slots"]
    except SQLAlchemyError:
        return Progress(has_database=False, unevaluated_seconds=unevaluated_seconds)
    return Progress(
        has_database=True, standstill_seconds=waited, overdue_slots=overdue, unevaluated_seconds=unevaluated_seconds
    )
