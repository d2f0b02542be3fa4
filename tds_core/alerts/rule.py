"""A rule: what is measured, when it fires, and the words of its alert."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tds_core.alerts.facts import AlertFacts
from tds_models.alerts import AlertSeverity


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleValue:
    """A measured value of one subject. `subject`: an entity, a breaker, a worker; empty for the whole.

    `says`: the alert in words. `detail`: ids, names and counts that help to act; never contents of records.
    """

    value: float
    says: str
    subject: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


#: Reads the values of every subject of a rule; a subject it leaves out meets the condition no longer.
Measure = Callable[[AlertFacts], Iterable[RuleValue]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule as it is declared. It fires where a reading is above `threshold` (`below`: below it) for `for_seconds`.

    `unit`: of values and threshold, for people: "records", "seconds", "ratio", "state" (1: the condition is met).
    `cause`: what usually is behind it. `automatic`: what TDS does about it by itself. `command`: what a person runs.
    `muted_by`: rules whose alerts cause this one, so it sends no messages while they fire. `expression`: the same
    condition in PromQL, with `{threshold}`; empty where no metric shows it. `measure`: None where only Prometheus sees
    it.
    """

    name: str
    title: str
    severity: AlertSeverity
    measure: Measure | None
    threshold: float
    unit: str
    cause: str
    automatic: str
    command: str
    for_seconds: int = 0
    keep_seconds: int = 60
    below: bool = False
    muted_by: tuple[str, ...] = ()
    expression: str = ""

    def is_met(self, value: float, threshold: float) -> bool:
        """Whether a value meets the condition."""
        return value < threshold if self.below else value > threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTerms:
    """The terms of a rule that are in force, as an operator may have changed them."""

    name: str
    version: int
    is_enabled: bool
    severity: AlertSeverity
    threshold: float
    for_seconds: int
    keep_seconds: int
