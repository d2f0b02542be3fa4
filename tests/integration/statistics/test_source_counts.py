"""The source's count is of the last full sync or comparison, whichever was later; where there is none, it says why."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text

from tds_core.statistics.source_counts import SourceReport, latest_reports
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tests.support.planted_rows import comparison, plant, run

HOUR = timedelta(hours=1)


@pytest.fixture
def now(engine: Engine) -> datetime:
    with engine.connect() as connection:
        moment: datetime = connection.execute(text("select now()")).scalar_one()
    return moment


def report(engine: Engine, entity: str = "product") -> SourceReport:
    with session_scope(engine) as session:
        return latest_reports(session)[entity]


def test_every_entity_has_a_report_and_before_anything_was_read_it_says_how(engine: Engine) -> None:
    with session_scope(engine) as session:
        found = latest_reports(session)
    assert set(found) == set(ENTITIES)
    assert all((each["there_count"], each["seen_at"], each["seen_by"]) == (None, None, None) for each in found.values())
    assert found["bill"]["reason"] == "no full sync was made yet: tds sync bill --mode full"


def test_the_last_full_sync_that_ended_well_counts(engine: Engine, now: datetime) -> None:
    plant(
        engine, "tds_sync_runs", run(now - 3 * HOUR, fetched_count=40), run(now - 2 * HOUR, fetched_count=41),
        run(now - HOUR, fetched_count=7, state="failed", end_reason="x"), run(now, fetched_count=3, mode="incremental"),
        run(now, fetched_count=99, entity="customer"),
    )  # fmt: skip
    found = report(engine)
    assert (found["there_count"], found["seen_at"], found["seen_by"]) == (41, now - 2 * HOUR, "full sync")
    assert (found["match_percent"], found["compared_at"], found["reason"]) == (None, None, None)


@pytest.mark.parametrize(("state", "reason"), [
    ("failed", "the last full sync failed: Zoho said no; ask again: tds sync product --mode full"),
    ("rejected", "the last full sync was rejected: Zoho said no; ask again: tds sync product --mode full"),
    ("running", "the first full sync is running: tds runs"),
])  # fmt: skip
def test_a_full_sync_that_did_not_end_well_is_named(engine: Engine, now: datetime, state: str, reason: str) -> None:
    plant(engine, "tds_sync_runs", run(now, state=state, end_reason="Zoho said no"))
    assert (report(engine)["there_count"], report(engine)["reason"]) == (None, reason)


def test_a_later_comparison_counts_and_a_later_sync_keeps_what_it_proved(engine: Engine, now: datetime) -> None:
    plant(engine, "tds_sync_runs", run(now - 2 * HOUR, fetched_count=41))
    comparison(engine, now - HOUR, product=98)
    found = report(engine)
    assert (found["there_count"], found["here_count"], found["seen_by"]) == (50, 49, "comparison")
    assert (found["match_percent"], found["agreement"]) == (Decimal(98), "differs")
    plant(engine, "tds_sync_runs", run(now, fetched_count=44))
    found = report(engine)
    assert (found["there_count"], found["seen_by"], found["seen_at"]) == (44, "full sync", now)
    assert (found["match_percent"], found["compared_at"]) == (Decimal(98), now - HOUR)


def test_a_comparison_that_has_not_ended_leaves_the_count(engine: Engine, now: datetime) -> None:
    plant(engine, "tds_sync_runs", run(now - 2 * HOUR, fetched_count=41))
    comparison(engine, now, product=98)
    with engine.begin() as connection:
        connection.execute(text("update tds_comparison_reports set state = 'running', ended_at = null"))
    assert (report(engine)["there_count"], report(engine)["compared_at"]) == (41, None)
