"""The rehearsal of a migration ends promoted, finds every fault, and says so in its report."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tds_core.sources.base import Source
from tds_core.sync.run_requests import request_records
from tds_lab.migration_rehearsal.old_tables import PLURALS
from tds_lab.migration_rehearsal.report import markdown, write_report
from tds_lab.migration_rehearsal.weeks import RehearsalPlan, RehearsalReport, rehearse
from tds_models.db import make_engine, session_scope
from tests.house.code import ROOT
from tests.support.database_role import superuser_url
from tests.support.old_sync import DAY, source_of
from tests.support.standin import StandIn
from tests.support.world import World


@dataclass
class InProcessSite:
    """A site in the test's process: ten edits a day, and every night the lists."""

    world: World
    standin: StandIn

    @cached_property
    def engine(self) -> Engine:
        """As the owner: the old sync's programs and a promotion do what TDS itself may not."""
        owner = superuser_url(self.world.engine.url.render_as_string(hide_password=False))
        return make_engine(owner, pool_size=3)

    def open_source(self, name: str) -> Source:
        return source_of(self.world)(name)

    def edit(self, day: int) -> None:
        items, orders = self.standin.ids("items"), self.standin.ids("salesorders")
        for number in range(8):
            self.standin.edit("items", items[(day * 8 + number) % len(items)], rate=day + number / 4)
        self.standin.create("items", name=f"Item of day {day}", rate=day, sku=f"DAY-{day}")
        self.standin.edit("salesorders", orders[day % len(orders)], reference_number=f"day {day}")
        if day % 2:
            self.standin.delete("items", items[day])

    def catch_up(self) -> None:
        for entity in PLURALS:
            self.world.run(entity, "full")
            self.world.drain(entity, make_due=True)

    def read_again(self, entity: str, source_id: str) -> None:
        with session_scope(self.engine) as session:
            request_records(session, entity=entity, source_ids=[source_id], requested_by="test", forced=True)

    def records(self, plural: str) -> list[Mapping[str, Any]]:
        return [self.standin.detail(plural, each) for each in self.standin.ids(plural)]


def plan(**more: Any) -> RehearsalPlan:
    shape = {"first_day": DAY, "day_count": 7, "import_day": 1, "hand_edit_day": 2, "promotion_day": 4, "clean_days": 3}
    return RehearsalPlan(**{**shape, "failure_count": 5, **more})


def rehearsed(world: World, standin: StandIn, **more: Any) -> RehearsalReport:
    site = InProcessSite(world, standin)
    site.catch_up()
    return rehearse(site, plan(**more), on_day=lambda _: None)


def test_a_short_rehearsal_ends_promoted_with_no_record_that_tds_has_wrong(
    synced: World, standin: StandIn, tmp_path: Path
) -> None:
    report = rehearsed(synced, standin)
    assert report.problems == []
    by_day = {line["day"]: line for line in report.days}
    assert (by_day[2]["tds_wrong"], [line["tds_wrong"] for line in report.days if line["day"] != 2]) == (1, [0] * 6)
    assert by_day[3]["old_wrong"] > 0 and sum(line["copies"] for line in report.days) > 0
    assert "of 3 days in a row" in report.refused_promotion  # the hand edit of day 2 ended the row of clean days
    assert (report.promoted_on_day, report.fallback_is_exact, report.refused_write_count) == (6, True, 2)
    assert {"updates lost", "prices kept", "rows doubled", "webhooks given up"} <= set(report.old_faults)
    assert (report.imported_count, report.open_dead_letter_count) == (5, 0)
    as_json, as_markdown = write_report(report, tmp_path)
    assert json.loads(as_json.read_text())["promoted_on_day"] == 6
    assert as_markdown.read_text() == markdown(report)
    assert "It ended well." in markdown(report)


def test_a_mirror_that_stays_wrong_is_never_promoted(synced: World, standin: StandIn) -> None:
    site = InProcessSite(synced, standin)
    site.read_again = lambda entity, source_id: None  # type: ignore[method-assign]
    site.edit = lambda day: None  # type: ignore[method-assign]
    site.catch_up()
    report = rehearse(site, plan(day_count=6), on_day=lambda _: None)
    assert report.problems[0] == "TDS was never promoted"
    assert "It did not end well" in markdown(report)


@pytest.mark.acceptance
@pytest.mark.long
def test_the_whole_rehearsal_is_one_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tds_lab.migration_rehearsal", "--report", str(tmp_path / "report")]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "TDS_HOME": str(tmp_path / "home")},
                          capture_output=True, text=True, timeout=1800, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    report = json.loads((tmp_path / "report" / "rehearsal.json").read_text())
    assert (report["problems"], len(report["days"]), report["imported_count"]) == ([], 28, 58)
    assert report["promoted_on_day"] == 22
