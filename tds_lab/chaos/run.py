"""One chaos run on a running stage: load, hurt, wait until quiet, read what webhooks did not tell, check everything."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from tds_core.invariants.verify import InvariantResult, verify
from tds_core.sync import holds
from tds_lab.chaos.context import ChaosContext
from tds_lab.chaos.orphans import Orphans
from tds_lab.chaos.report import ChaosResult, make_report
from tds_lab.chaos.schedule import Schedule
from tds_lab.comparison.comparison import Comparison, compare
from tds_lab.demo import phases, stats
from tds_lab.environment import Environment
from tds_lab.sandbox import faults, rules
from tds_models.db import session_scope

QUIET_WITHIN_SECONDS = 300.0
BACK_WITHIN_SECONDS = 60.0
# Without a protection it is enough to see that the first load does not end, or that quiet does not come.
QUIET_WITHOUT_SECONDS = 60.0
CHECK_EVERY_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class ChaosPlan:
    """What is played: how long, how many edits a second, which nemeses and how often, and what is taken away."""

    seconds: float
    rate: float
    seed: int
    names: Sequence[str]
    pace_seconds: float
    without: Sequence[str]


class Chaos:
    """One run. `say(sentence)` hears what goes on."""

    def __init__(self, stage: Environment, plan: ChaosPlan, say: Callable[[str], None]) -> None:
        self._stage, self._plan, self._say = stage, plan, say
        self._orphans = Orphans(stage.engine)
        self._arena = ChaosContext(stage, Random(plan.seed), self._orphans)  # noqa: S311 (a schedule, no secret)
        self._acts: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self._began, self._checked_at = time.monotonic(), 0.0
        self._caught: dict[str, Any] | None = None

    def run(self) -> stats.Figures:
        """Perform; returns the report."""
        stage, plan = self._stage, self._plan
        began_at = self._begin()
        schedule = Schedule(self._arena, plan.names, pace_seconds=plan.pace_seconds, on_act=self._note)
        schedule.run(self._began + plan.seconds, self._is_caught)
        edit_count = stage.stand_in.stop_edits()
        ended_at = self._clock()
        quiet_seconds, comparison = self._calm()
        self._orphans.close()
        endured = ChaosResult(
            seed=plan.seed, without=plan.without, edit_count=edit_count, began_at=began_at, ended_at=ended_at,
            quiet_seconds=quiet_seconds, counts=self._arena.counts, acts=self._acts, missed=self._missed,
            recovery=self._orphans.so_far(), findings=self._verify(), comparison=comparison, caught=self._caught,
        )  # fmt: skip
        with stage.engine.connect() as connection:
            return make_report(connection, stage.stand_in.state(), endured)

    def _begin(self) -> datetime:
        """Load the mirror, then have it edited; returns when, by the database's clock."""
        stage, plan = self._stage, self._plan
        self._say("First load …")
        patience_seconds = QUIET_WITHOUT_SECONDS if plan.without else phases.LOADED_WITHIN_SECONDS
        phases.load(stage, lambda _loads, _first: None, within_seconds=patience_seconds)
        secret = stage.stack.settings.zoho_webhook_secret
        stage.stand_in.set_rules(list(rules(stage.stack.urls["webhooks"], secret)))
        stage.stand_in.set_faults(faults(0.0))
        began_at = self._clock()
        stage.stand_in.start_edits(rate=plan.rate, seed=plan.seed)
        self._began = time.monotonic()
        self._say(f"Edits run, {plan.rate:g} a second; seed {plan.seed}, {len(plan.names)} nemeses.")
        return began_at

    def _clock(self) -> datetime:
        """The database's time, once it is there: it may be recovering from the last nemesis."""
        patient_until = time.monotonic() + BACK_WITHIN_SECONDS
        while True:
            try:
                with self._stage.engine.connect() as connection:
                    return stats.clock(connection)
            except SQLAlchemyError:
                if time.monotonic() > patient_until:
                    raise
                time.sleep(0.2)

    def _calm(self) -> tuple[float, Comparison]:
        """Wait until nothing is owed, read what nobody told, and compare; what was caught already needs none of it."""
        if self._caught:
            return 0.0, Comparison()
        self._say("Edits stopped. Waiting until all is delivered and settled …")
        began = time.monotonic()
        patience_seconds = QUIET_WITHOUT_SECONDS if self._plan.without else QUIET_WITHIN_SECONDS
        left = phases.settle(self._stage, within_seconds=patience_seconds)
        quiet_seconds = time.monotonic() - began
        if left and self._plan.without:
            self._catch({"still owed": left.events + left.items})
            return quiet_seconds, Comparison()
        self._say(f"{f'Still owed: {left}' if left else 'Quiet'} after {quiet_seconds:.0f} s. Scheduled reads …")
        phases.sweep(self._stage, also_full=True)
        self._approve_held()
        self._say("Comparing every record, field by field …")
        with self._stage.engine.connect() as connection:
            return quiet_seconds, compare(connection, self._stage.stand_in)

    def _approve_held(self) -> None:
        """Be the operator: a few edits can take away most of a small list, and a list without them is held."""
        with session_scope(self._stage.engine) as session:
            held = list(session.execute(text("select id from tds_sync_runs where state = 'held'")).scalars())
            for run_id in held:
                holds.approve(session, run_id, by="chaos")
        if held:
            self._say(f"Approved {len(held)} runs that were held.")
            phases.settle(self._stage)

    def _verify(self) -> list[InvariantResult]:
        with session_scope(self._stage.engine) as session:
            return verify(session)

    def _is_caught(self) -> bool:
        """Without a protection the promises are checked all the time: it is asked how soon that shows."""
        now = time.monotonic()
        if not self._plan.without or now - self._checked_at < CHECK_EVERY_SECONDS:
            return False
        try:
            broken = [finding for finding in self._verify() if finding.violation_count]
        except SQLAlchemyError:
            return False
        finally:
            self._checked_at = time.monotonic()
        if broken:
            self._catch({finding.name: finding.violation_count for finding in broken})
        return bool(broken)

    def _catch(self, by: dict[str, int]) -> None:
        self._caught = {"after_seconds": round(time.monotonic() - self._began, 1), "by": by}
        self._say(f"Caught after {self._caught['after_seconds']} s: {by}")

    def _note(self, name: str, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:7.1f} s  {name} {what}")
        if what == "begins":
            self._acts[name] += 1
        elif what.startswith("missed"):
            self._missed[name] += 1
