"""The chaos run: first load, edits under nemeses, waiting until quiet, scheduled reads, and the checks."""

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
from tds_core.sync import mass_change_guard
from tds_lab.chaos.context import ChaosContext
from tds_lab.chaos.report import ChaosResult, make_report
from tds_lab.chaos.schedule import Schedule
from tds_lab.chaos.worker_recovery_times import Orphans
from tds_lab.comparison.mirror_comparison import Comparison, compare
from tds_lab.demo import phases, stats
from tds_lab.testbed import Environment
from tds_lab.zoho_stand_in import faults, rules
from tds_models.db import session_scope

QUIET_WITHIN_SECONDS = 300.0
BACK_WITHIN_SECONDS = 60.0
# Without a protection it is enough to see that the first load does not end, or that quiet does not come.
QUIET_WITHOUT_SECONDS = 60.0
CHECK_EVERY_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class ChaosPlan:
    """Duration, edits a second, nemeses and their pace, and the protections that are switched off."""

    seconds: float
    rate: float
    seed: int
    names: Sequence[str]
    pace_seconds: float
    without: Sequence[str]


class ChaosRun:
    """One run. `say(sentence)` is called with its progress."""

    def __init__(self, environment: Environment, plan: ChaosPlan, say: Callable[[str], None]) -> None:
        self._environment, self._plan, self._say = environment, plan, say
        self._orphans = Orphans(environment.engine)
        self._context = ChaosContext(environment, Random(plan.seed), self._orphans)  # noqa: S311 (a schedule, no secret)
        self._acts: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self._began, self._checked_at = time.monotonic(), 0.0
        self._caught: dict[str, Any] | None = None

    def run(self) -> stats.Figures:
        """Run all phases; returns the report."""
        environment, plan = self._environment, self._plan
        began_at = self._begin()
        schedule = Schedule(self._context, plan.names, pace_seconds=plan.pace_seconds, on_event=self._note)
        schedule.run(self._began + plan.seconds, self._is_caught)
        edit_count = environment.stand_in.stop_edits()
        ended_at = self._clock()
        quiet_seconds, comparison = self._calm()
        self._orphans.close()
        result = ChaosResult(
            seed=plan.seed, without=plan.without, edit_count=edit_count, began_at=began_at, ended_at=ended_at,
            quiet_seconds=quiet_seconds, counts=self._context.counts, acts=self._acts, missed=self._missed,
            recovery=self._orphans.so_far(), findings=self._verify(), comparison=comparison, caught=self._caught,
        )  # fmt: skip
        with environment.engine.connect() as connection:
            return make_report(connection, environment.stand_in.state(), result)

    def _begin(self) -> datetime:
        """Load the mirror, then have it edited; returns when, by the database's clock."""
        environment, plan = self._environment, self._plan
        self._say("First load …")
        timeout_seconds = QUIET_WITHOUT_SECONDS if plan.without else phases.LOADED_WITHIN_SECONDS
        phases.load(environment, lambda _loads, _first: None, within_seconds=timeout_seconds)
        secret = environment.stack.settings.zoho_webhook_secret
        environment.stand_in.set_rules(list(rules(environment.stack.urls["webhooks"], secret)))
        environment.stand_in.set_faults(faults(0.0))
        began_at = self._clock()
        environment.stand_in.start_edits(rate=plan.rate, seed=plan.seed)
        self._began = time.monotonic()
        self._say(f"Edits run, {plan.rate:g} a second; seed {plan.seed}, {len(plan.names)} nemeses.")
        return began_at

    def _clock(self) -> datetime:
        """The database's time, once it is there: it may be recovering from the last nemesis."""
        deadline = time.monotonic() + BACK_WITHIN_SECONDS
        while True:
            try:
                with self._environment.engine.connect() as connection:
                    return stats.clock(connection)
            except SQLAlchemyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _calm(self) -> tuple[float, Comparison]:
        """Wait until no work is pending, run the scheduled reads, and compare; skipped when a violation was caught."""
        if self._caught:
            return 0.0, Comparison()
        self._say("Edits stopped. Waiting until all is delivered and settled …")
        began = time.monotonic()
        timeout_seconds = QUIET_WITHOUT_SECONDS if self._plan.without else QUIET_WITHIN_SECONDS
        left = phases.wait_until_quiet(self._environment, within_seconds=timeout_seconds)
        quiet_seconds = time.monotonic() - began
        if left and self._plan.without:
            self._catch({"still owed": left.events + left.items})
            return quiet_seconds, Comparison()
        self._say(f"{f'Still owed: {left}' if left else 'Quiet'} after {quiet_seconds:.0f} s. Scheduled reads …")
        phases.sweep(self._environment, also_full=True)
        self._approve_held()
        self._say("Comparing every record, field by field …")
        with self._environment.engine.connect() as connection:
            return quiet_seconds, compare(connection, self._environment.stand_in)

    def _approve_held(self) -> None:
        """Approve held runs, as an operator would: a few edits can delete most of a small list, which holds its run."""
        with session_scope(self._environment.engine) as session:
            held = list(session.execute(text("select id from tds_sync_runs where state = 'held'")).scalars())
            for run_id in held:
                mass_change_guard.approve(session, run_id, by="chaos")
        if held:
            self._say(f"Approved {len(held)} runs that were held.")
            phases.wait_until_quiet(self._environment)

    def _verify(self) -> list[InvariantResult]:
        with session_scope(self._environment.engine) as session:
            return verify(session)

    def _is_caught(self) -> bool:
        """Without a protection, check the invariants while edits run, to see how soon its absence shows."""
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
