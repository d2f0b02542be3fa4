"""A log of the faults of one stack: when each was caused and ended, and when both receivers knew."""

import math
import time
from collections import Counter
from dataclasses import dataclass

from tests.acceptance.workers import wait_for
from tests.support.alert_arrivals import MAIL, WEBHOOK, Arrival, Arrivals

#: The promise: so long after its fault an alert is at its receivers.
WITHIN_SECONDS = 60.0
#: An alert ends when its condition has not been met for 60 to 120 s; then it is told as it was when it fired.
OVER_SECONDS = 200.0


@dataclass(slots=True)
class Fault:
    """One fault and the alert it has to be: by the monotonic clock when it began and was mended."""

    what: str
    rule: str
    subject: str | None
    began: float
    mended: float = 0.0


class FaultLog:
    """The faults so far, in order."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.faults: dict[str, Fault] = {}
        self._arrivals = arrivals

    def begin(self, rule: str, what: str, *, subject: str | None = "") -> None:
        """A fault is about to be caused. `subject` of its alert; None: any."""
        self.faults[rule] = Fault(what, rule, subject, time.monotonic())

    def mended(self, *rules: str) -> None:
        """These faults are over."""
        for rule in rules:
            self.faults[rule].mended = time.monotonic()

    def late(self, *rules: str) -> list[tuple[str, str]]:
        """Rule and receiver of the alerts of these faults that do not arrive as soon as was promised."""
        until = max(self.faults[rule].began for rule in rules) + WITHIN_SECONDS
        wait_for(lambda: not self.missing("firing", rules), max(0.0, until - time.monotonic()))
        return self.missing("firing", rules)

    def open(self, *rules: str) -> list[tuple[str, str]]:
        """Rule and receiver of the faults whose end does not arrive; waits for it."""
        wait_for(lambda: not self.missing("resolved", rules), OVER_SECONDS)
        return self.missing("resolved", rules)

    def missing(self, kind: str, rules: tuple[str, ...]) -> list[tuple[str, str]]:
        """Rule and receiver of what did not arrive."""
        return [(rule, name) for rule in rules for name in (WEBHOOK, MAIL) if not self._of(rule, kind, name)]

    def _of(self, rule: str, kind: str, receiver: str) -> list[Arrival]:
        fault = self.faults[rule]
        came = self._arrivals.posted() if receiver == WEBHOOK else self._arrivals.mailed()
        return [
            each for each in came
            if (each.rule, each.kind) == (rule, kind) and fault.subject in (None, each.subject)
        ]  # fmt: skip

    def counts(self, receiver: str) -> Counter[tuple[str, str]]:
        """By rule and kind, how many alerts arrived; attempts with one id count once."""
        came = self._arrivals.posted() if receiver == WEBHOOK else self._arrivals.mailed()
        once = {(each.message_id, each.rule, each.subject, each.kind) for each in came}
        return Counter((rule, kind) for _, rule, _, kind in once)

    def repeated(self) -> list[str]:
        """Ids of messages that came more than once."""
        found = []
        for came in (self._arrivals.posted(), self._arrivals.mailed()):
            seen = Counter((each.message_id, each.rule, each.subject) for each in came)
            found += [message_id for (message_id, *_), count in seen.items() if count > 1]
        return found

    def slow(self) -> list[tuple[str, float]]:
        """What arrived later than was promised, with its seconds."""
        return [(rule, seconds) for rule in self.faults if (seconds := self._seconds(rule, "firing")) > WITHIN_SECONDS]

    def _seconds(self, rule: str, kind: str) -> float:
        since = self.faults[rule].began if kind == "firing" else self.faults[rule].mended
        came = [self._of(rule, kind, name) for name in (WEBHOOK, MAIL)]
        return max(each[0].at if each else math.inf for each in came) - since

    def table(self) -> str:
        """What was measured, as Markdown."""
        lines = ["| fault | rule | seconds until both receivers know | seconds from its end |", "|---|---|---|---|"]
        for fault in self.faults.values():
            arrived, ended = (self._seconds(fault.rule, kind) for kind in ("firing", "resolved"))
            lines.append(f"| {fault.what} | `{fault.rule}` | {arrived:.0f} | {ended:.0f} |")
        return "\n".join(lines)
