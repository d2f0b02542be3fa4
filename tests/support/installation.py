"""An installation as alert rules see it: a real database, a real Redis, settings, and a machine of the test's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text

from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.rule import RuleValue
from tds_core.alerts.rules import RULES, rule_of
from tds_core.breakers.registry import Breakers, open_breakers
from tds_core.config.settings import Settings, load_settings
from tds_core.healing import worker_status
from tds_core.healing.worker_status import WorkerReport
from tds_core.observability import heartbeats
from tds_models.db import session_scope

WORKER = "here:1:worker"


@dataclass
class Installation:
    """What rules are measured in. `machine`: parts of the facts that a test states, such as `memory_share`."""

    engine: Engine
    environ: dict[str, str]
    machine: dict[str, Any] = field(
        default_factory=lambda: {"memory_share": 0.3, "disk_bytes": (10**12, 10**12), "process_age_seconds": 1e9}
    )

    @property
    def settings(self) -> Settings:
        return load_settings(self.environ)

    @property
    def breakers(self) -> Breakers:
        return open_breakers(self.settings)

    def execute(self, statement: str, **params: Any) -> None:
        with session_scope(self.engine) as session:
            session.execute(text(statement), params)

    def value(self, statement: str, **params: Any) -> Any:
        with session_scope(self.engine) as session:
            return session.execute(text(statement), params).scalar_one()

    def facts(self) -> AlertFacts:
        """What one evaluation knows now."""
        facts = AlertFacts(lambda: session_scope(self.engine), self.settings, self.breakers)
        facts.__dict__.update(self.machine)
        return facts

    def met(self, name: str, facts: AlertFacts | None = None) -> dict[str, RuleValue]:
        """By subject, the readings of a rule that meet its condition."""
        rule = rule_of(name)
        assert rule.measure is not None
        readings = rule.measure(facts or self.facts())
        return {each.subject: each for each in readings if rule.is_met(each.value, rule.threshold)}

    def all_met(self) -> Mapping[str, Sequence[str]]:
        """By rule, the subjects whose condition is met."""
        facts = self.facts()
        found = {rule.name: list(self.met(rule.name, facts)) for rule in RULES if rule.measure}
        return {name: subjects for name, subjects in found.items() if subjects}

    def start(self) -> None:
        """Dispatcher and Beat show themselves, and a worker reports."""
        with session_scope(self.engine) as session:
            heartbeats.beat(session, "dispatcher")
            heartbeats.beat(session, "beat")
        self.report()

    def report(self, process: str = WORKER, **more: Any) -> None:
        """A worker reports that it consumes."""
        told: dict[str, Any] = {
            "process": process, "name": process.rpartition(":")[2], "born": 1.0, "private_queue": f"tds.ear.{process}",
            "slot_count": 2, "busy_count": 0, "queues": ["tds.high"], "lost_queues": [], "heard_seconds": 0.0,
            "loop_seconds": 0.0, **more,
        }  # fmt: skip
        with session_scope(self.engine) as session:
            worker_status.report_worker(session, WorkerReport(**told))

    def age_pulse(self, name: str, seconds: float) -> None:
        """The last heartbeat of `name` was so long ago."""
        self.execute(
            "update tds_pulses set beat_at = clock_timestamp() - make_interval(secs => :s) where name = :n",
            s=seconds, n=name,
        )  # fmt: skip

    def age_worker(self, seconds: float, process: str = WORKER, *, started: float | None = None) -> None:
        """A worker last reported so long ago, and began long before, or `started` seconds ago."""
        self.execute(
            "update tds_listeners set alive_at = clock_timestamp() - make_interval(secs => :s),"
            " started_at = clock_timestamp() - make_interval(secs => :b) where process = :p",
            s=seconds, b=started or seconds + 86_400, p=process,
        )  # fmt: skip


def installation(engine: Engine, home: str, redis_url: str, **environ: str) -> Installation:
    """An installation on a migrated database, of which nothing runs yet."""
    return Installation(engine, {"TDS_HOME": home, "TDS_REDIS_URL": redis_url, **environ})
