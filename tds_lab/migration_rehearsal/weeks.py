"""The weeks of a migration, day by day: both systems side by side, compared, changed over, taken back, and for good."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Protocol

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tds_core.cutover import promotion
from tds_core.cutover.comparison import ComparisonOrder, compare_with_old
from tds_core.cutover.days import DayResult
from tds_core.cutover.mapping import CutoverMapping, parse_mapping
from tds_core.cutover.promotion import NotReadyError, PromotionOrder
from tds_core.dead_letters.importer import import_lines
from tds_core.dead_letters.retry import retry
from tds_core.sources.base import Source
from tds_lab.migration_rehearsal.old_job import OldJob, Records, export_failures
from tds_lab.migration_rehearsal.old_tables import MAPPING, PLURALS, wrong_rows
from tds_models.db import session_scope
from tds_tasks.old_database import scope_of_one_connection

WHO = "rehearsal"


class Site(Protocol):
    """Where it is rehearsed: a TDS beside the stand-in."""

    engine: Engine
    open_source: Callable[[str], Source]

    def edit(self, day: int) -> None:
        """Let people work in Zoho for a day."""

    def catch_up(self) -> None:
        """Let TDS finish what it was told, and read its lists as it does in a night."""

    def read_again(self, entity: str, source_id: str) -> None:
        """Let TDS read one record anew, whatever it believes to have."""

    def records(self, plural: str) -> list[Mapping[str, Any]]:
        """Every living record of a collection, as Zoho has it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalPlan:
    """How many days, and what happens when. `hand_edit_day`: a row of the mirror is changed behind TDS's back.

    `early_promotion_day`: a promotion is tried that the days do not allow yet.
    """

    first_day: date
    day_count: int = 28
    import_day: int = 2
    hand_edit_day: int = 5
    early_promotion_day: int = 8
    promotion_day: int = 22
    clean_days: int = 7
    deep: int = 1000
    failure_count: int = 58
    seed: int = 7


@dataclass(slots=True)
class RehearsalReport:
    """What happened. `problems`: why the rehearsal did not end well; empty if it did."""

    plan: RehearsalPlan
    days: list[dict[str, Any]] = field(default_factory=list)
    old_faults: Mapping[str, int] = field(default_factory=dict)
    imported_count: int = 0
    open_dead_letter_count: int = 0
    refused_promotion: str = ""
    promoted_on_day: int | None = None
    fallback_is_exact: bool | None = None
    refused_write_count: int = 0
    problems: list[str] = field(default_factory=list)


def rehearse(site: Site, plan: RehearsalPlan, *, on_day: Callable[[Mapping[str, Any]], None]) -> RehearsalReport:
    """Rehearse all days at `site`, whose TDS has loaded everything. `on_day` hears of each."""
    rehearsal = _Rehearsal(site, plan)
    rehearsal.begin()
    for day in range(1, plan.day_count + 1):
        on_day(rehearsal.live_through(day))
    return rehearsal.end()


@dataclass(slots=True)
class _Rehearsal:
    site: Site
    plan: RehearsalPlan
    mapping: CutoverMapping = field(default_factory=lambda: parse_mapping(MAPPING))
    job: OldJob = field(init=False)
    report: RehearsalReport = field(init=False)
    edited_by_hand: str = ""

    def __post_init__(self) -> None:
        self.job, self.report = OldJob(self.plan.seed), RehearsalReport(self.plan)

    def begin(self) -> None:
        with self.site.engine.begin() as connection:
            self.job.begin(connection, self._records(), failure_count=self.plan.failure_count)

    def live_through(self, day: int) -> Mapping[str, Any]:
        """One day: people work, both systems follow, and what the day is for is done. Returns its line."""
        self.site.edit(day)
        if self.report.promoted_on_day is None:
            with self.site.engine.begin() as connection:
                self.job.run(connection, self._records())
        else:
            self._run_forgotten_job()
        self.site.catch_up()
        if day == self.plan.import_day:
            self._import_dead_letters()
        self._edit_by_hand(day)
        is_promotion_due = day == self.plan.early_promotion_day or day >= self.plan.promotion_day
        if is_promotion_due and self.report.promoted_on_day is None:
            self._promote(day)
        line = self._compare(day) if self.report.promoted_on_day is None else self._look_at_views(day)
        self.report.days.append(line)
        return line

    def end(self) -> RehearsalReport:
        """What it came to."""
        report = self.report
        report.old_faults = dict(self.job.faults)
        with session_scope(self.site.engine) as session:
            open_count = "select count(*) from tds_dead_letter_queue where resolved_at is null"
            report.open_dead_letter_count = int(session.execute(text(open_count)).scalar_one())
        if report.promoted_on_day is None:
            report.problems.append("TDS was never promoted")
        if report.open_dead_letter_count or report.imported_count != self.plan.failure_count:
            report.problems.append(f"{report.open_dead_letter_count} dead letters are open,"
                                   f" {report.imported_count} of {self.plan.failure_count} were taken in")  # fmt: skip
        if not any(line["tds_wrong"] for line in report.days):
            report.problems.append("the row that was changed by hand was not found")
        if report.days[-1]["tds_wrong"] or report.days[-1]["not_asked"]:
            report.problems.append("on the last day TDS was wrong, or it is not known who was")
        return report

    def _records(self) -> Records:
        return {entity: self.site.records(plural) for entity, plural in PLURALS.items()}

    def _import_dead_letters(self) -> None:
        with self.site.engine.begin() as connection:
            lines = export_failures(connection)
        with session_scope(self.site.engine) as session:
            self.report.imported_count = import_lines(session, lines, by=WHO).imported_count
            open_ids = "select id from tds_dead_letter_queue where resolved_at is null order by id"
            for letter_id in session.execute(text(open_ids)).scalars().all():
                retry(session, letter_id, by=WHO)
        self.site.catch_up()

    def _edit_by_hand(self, day: int) -> None:
        """Change a row of the mirror behind TDS's back, and a day later have it read anew."""
        if day == self.plan.hand_edit_day:
            with self.site.engine.begin() as connection:
                changed = """update erp.product set price = price + 1 where source_id = (
                    select min(source_id) from erp.product where deleted_at is null) returning source_id"""
                self.edited_by_hand = str(connection.execute(text(changed)).scalar_one())
        elif day == self.plan.hand_edit_day + 1:
            self.site.read_again("product", self.edited_by_hand)
            self.site.catch_up()

    def _compare(self, day: int) -> dict[str, Any]:
        order = ComparisonOrder(day=self._date(day), deep=self.plan.deep, requested_by=WHO, settle_seconds=0)
        with scope_of_one_connection(self.site.engine) as scope:
            engine = self.site.engine
            results = list(compare_with_old(scope, engine, self.mapping, order, open_source=self.site.open_source))
        return {"day": day, "phase": "side by side", **_sums(results)}

    def _promote(self, day: int) -> None:
        """Promote once the days allow it; then rehearse the way back, and promote for good."""
        order = PromotionOrder(today=self._date(day - 1), days=self.plan.clean_days, by=WHO)
        try:
            with session_scope(self.site.engine) as session:
                before = _catalog(session)
                promotion.promote(session, self.mapping, order)
        except NotReadyError as error:
            self.report.refused_promotion = str(error)
            return
        with session_scope(self.site.engine) as session:
            promotion.fall_back(session, by=WHO, reason="the way back is rehearsed")
            self.report.fallback_is_exact = _catalog(session) == before
            if not self.report.fallback_is_exact:
                self.report.problems.append("after the fallback the old tables were not as before")
            promotion.promote(session, self.mapping, order)
        self.report.promoted_on_day = day

    def _run_forgotten_job(self) -> None:
        """An old job that nobody stopped must not get at the mirror."""
        for statement in ("update legacy.items set item_name = 'old'", "delete from legacy.customers"):
            try:
                with self.site.engine.begin() as connection:
                    connection.execute(text(statement))
            except DBAPIError:
                self.report.refused_write_count += 1
            else:
                self.report.problems.append(f"the old job could write to the views: {statement}")

    def _look_at_views(self, day: int) -> dict[str, Any]:
        """What the ERP reads under the old names, against Zoho itself."""
        with self.site.engine.connect() as connection:
            wrong = {entity: wrong_rows(connection, entity, rows) for entity, rows in self._records().items()}
        checked = sum(count for count, _ in wrong.values())
        differing = sum(len(keys) for _, keys in wrong.values())
        return {"day": day, "phase": "promoted", "old": 0, "here": checked, "equal": checked - differing,
                "differing": differing, "old_wrong": 0, "tds_wrong": differing, "changed_meanwhile": 0,
                "not_asked": 0, "copies": 0}  # fmt: skip

    def _date(self, day: int) -> date:
        return self.plan.first_day + timedelta(days=day - 1)


def _sums(results: list[DayResult]) -> dict[str, int]:
    return {
        "old": sum(each.old_count for each in results),
        "here": sum(each.here_count for each in results),
        "equal": sum(each.equal_count for each in results),
        "differing": sum(each.different_count + each.missing_old_count + each.missing_here_count for each in results),
        "old_wrong": sum(each.old_wrong_count for each in results),
        "tds_wrong": sum(each.tds_wrong_count + each.both_wrong_count for each in results),
        "changed_meanwhile": sum(each.changed_meanwhile_count for each in results),
        "not_asked": sum(each.not_asked_count for each in results),
        "copies": sum(each.duplicate_count for each in results),
    }


_CATALOG = text("""
select c.relname, c.relkind, c.relacl::text, case when c.relkind = 'v' then pg_get_viewdef(c.oid) end as definition
from pg_class c where c.relnamespace = 'legacy'::regnamespace order by 1
""")


def _catalog(session: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in session.execute(_CATALOG)]
