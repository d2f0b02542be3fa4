"""Rules whose conditions a test switches, and the evaluation of them on a real PostgreSQL."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from tds_core.alerts import deliveries
from tds_core.alerts.channels.sending import SendOutcome
from tds_core.alerts.deliveries import ClaimedMessage
from tds_core.alerts.evaluation import EvaluationResult, Evaluator
from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.queue.items import database_clock
from tds_models.alerts import AlertSeverity
from tds_models.db import session_scope
from tests.support.world import World

#: Every time of the alerts' tables that is not history.
TIMES: Mapping[str, tuple[str, ...]] = {
    "tds_alerts": ("since_at", "seen_at", "fired_at", "resolved_at", "changed_at", "acknowledged_at",
                   "acknowledged_until"),
    "tds_alert_deliveries": ("next_attempt_at", "leased_until", "created_at", "sent_at"),
    "tds_alert_silences": ("starts_at", "ends_at"),
    "tds_metrics": ("at",),
}  # fmt: skip


def outcome(error: str | None, *, may_have_arrived: bool = False) -> SendOutcome:
    """How an attempt ended; without an error the channel took it."""
    return SendOutcome(
        is_sent=error is None, error=error, is_permanent=False, duration_seconds=0.1, may_have_arrived=may_have_arrived
    )


@dataclass
class Switchboard:
    """What rules measure: by rule and subject, the value; or by rule, the error."""

    values: dict[tuple[str, str], float] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)

    def rule(self, name: str, *, severity: AlertSeverity = AlertSeverity.ERROR, **more: Any) -> Rule:
        """A rule that measures this; it fires above 0.5."""

        def measure(_facts: AlertFacts) -> Iterator[RuleValue]:
            if error := self.errors.get(name):
                raise error
            for (rule, subject), value in self.values.items():
                if rule == name:
                    yield RuleValue(value=value, says=f"{name} {subject}: {value:g}", subject=subject)

        words = {"title": name.title(), "unit": "state", "cause": "a cause", "automatic": "nothing", "command": "tds"}
        return Rule(name=name, severity=severity, measure=measure, **{"threshold": 0.5, **words, **more})


@dataclass
class AlertWorld:
    """An evaluator and a sender on the database of a test."""

    world: World
    evaluator: Evaluator
    board: Switchboard

    def scope(self) -> AbstractContextManager[Session]:
        """A transaction."""
        return session_scope(self.world.engine)

    def channel(self, name: str, *, severity: str = "warning", after_seconds: int = 0, **more: Any) -> int:
        """A channel of this name; its id."""
        columns = {"kind": "webhook", "locked": b"\0", "masked": "", "created_by": "ann"}
        columns |= {"name": name, "minimum_severity": severity, "after_seconds": after_seconds, **more}
        names, places = ", ".join(columns), ", ".join(f":{column}" for column in columns)
        statement = f"insert into tds_alert_channels ({names}) values ({places})"
        self.world.execute(statement, **columns)
        return int(self.world.value("select max(id) from tds_alert_channels"))

    def evaluate(self) -> EvaluationResult:
        """One evaluation."""
        # These rules look at nothing else.
        return self.evaluator.evaluate(AlertFacts(self.scope, None, None))  # type: ignore[arg-type]

    def claim(self, limit: int = 50) -> list[ClaimedMessage]:
        """What is due."""
        with self.scope() as session:
            return deliveries.claim(session, database_clock(session), limit=limit)

    def send(self, error: str | None = None) -> list[ClaimedMessage]:
        """Claim what is due; every channel takes it, or answers with `error`."""
        claimed = self.claim()
        for message in claimed:
            with self.scope() as session:
                deliveries.record(session, message, outcome(error))
        return claimed

    def wait(self, seconds: float) -> None:
        """Let so much time go by."""
        for table, columns in TIMES.items():
            moved = ", ".join(f"{column} = {column} - interval '{seconds} seconds'" for column in columns)
            self.world.execute(f"update {table} set {moved}")
        self.world.execute(f"""
            update tds_alerts set recent_firings =
                array(select at - interval '{seconds} seconds' from unnest(recent_firings) as at)""")

    def states(self) -> dict[tuple[str, str], str]:
        """By rule and subject, the state of every alert."""
        rows = self.world.rows("select rule, subject, state from tds_alerts order by rule, subject")
        return {(row["rule"], row["subject"]): row["state"] for row in rows}

    def deliveries(self) -> list[tuple[str, str, str]]:
        """Channel, kind and state of every delivery, the oldest first."""
        rows = self.world.rows("""
            select c.name, d.kind, d.state from tds_alert_deliveries d
            join tds_alert_channels c on c.id = d.channel_id order by d.id""")
        return [(row["name"], row["kind"], row["state"]) for row in rows]
