"""Reports in the background: one at a time of a subject, check by check, resumed where they were left."""

import pytest
from sqlalchemy import text

from tds_core.breakers.registry import Breakers
from tds_core.errors import NotFoundError
from tds_core.validation import stored_reports
from tds_core.validation.report import ORPHANS, validate
from tds_core.validation.rules import Severities
from tds_models.db import session_scope
from tds_tasks import validation
from tds_tasks.breaker_wakeup import BreakerWakeup
from tds_tasks.dispatcher import Dispatcher
from tests.support.mirror_rows import put, put_clean_mirror
from tests.support.world import World


@pytest.fixture
def mirrored(world: World) -> World:
    put_clean_mirror(world)
    put(world, "product", source_id="x", sku="S-x", price=-1)
    put(world, "product", source_id="y", sku="S-1")
    return world


def request(world: World, subject: str = "product") -> int:
    with session_scope(world.engine) as session:
        return stored_reports.request(session, subject, requested_by="test")["id"]


def advance(world: World, report_id: int) -> bool:
    with session_scope(world.engine) as session:
        return stored_reports.advance(session, report_id, Severities())


def progress(world: World, report_id: int) -> stored_reports.ReportProgress:
    with session_scope(world.engine) as session:
        return stored_reports.progress(session, report_id)


@pytest.mark.parametrize("subject", ["product", "invoice", ORPHANS])
def test_a_report_made_in_steps_is_the_one_made_at_once(mirrored: World, subject: str) -> None:
    report_id = request(mirrored, subject)
    assert validation.advance_reports(slice_seconds=60) is False
    made = progress(mirrored, report_id)
    assert (made["state"], made["error"]) == ("completed", None)
    with session_scope(mirrored.engine) as session:
        at_once = validate(session, subject, Severities())
    stored = made["report"]
    assert stored is not None
    assert (stored.statistics, list(stored.issues), list(stored.kinds)) == (
        at_once.statistics, list(at_once.issues), list(at_once.kinds),
    )  # fmt: skip
    assert mirrored.value("select tally from tds_validation_reports") is None


def test_two_requests_for_one_subject_are_one_report(mirrored: World) -> None:
    first = request(mirrored)
    assert request(mirrored) == first
    assert request(mirrored, "invoice") != first
    validation.advance_reports(slice_seconds=60)
    assert request(mirrored) != first


def test_progress_is_seen_from_the_first_check_on(mirrored: World) -> None:
    report_id = request(mirrored)
    seen = [progress(mirrored, report_id)]
    while advance(mirrored, report_id):
        seen.append(progress(mirrored, report_id))
    assert [each["checked_count"] for each in seen] == [0, *range(seen[0]["check_count"] + 1)]
    assert [each["state"] for each in seen] == ["waiting"] + ["running"] * (len(seen) - 1)
    assert seen[1]["current_check"] == "product: fields"


def test_a_killed_worker_leaves_its_check_to_the_next(mirrored: World) -> None:
    report_id = request(mirrored)
    advance(mirrored, report_id)
    advance(mirrored, report_id)
    before = progress(mirrored, report_id)["checked_count"]
    with mirrored.engine.connect() as killed:
        killed.execute(text("select 1 from tds_validation_reports where id = :id for update"), {"id": report_id})
        assert advance(mirrored, report_id) is False  # it is in that process's hands
        killed.rollback()
    assert progress(mirrored, report_id)["checked_count"] == before
    validation.advance_reports(slice_seconds=60)
    assert progress(mirrored, report_id)["state"] == "completed"


def test_a_report_of_another_version_begins_anew(mirrored: World) -> None:
    report_id = request(mirrored)
    mirrored.execute(
        "update tds_validation_reports set check_count = 99, checked_count = 42, started_at = now(), tally = '{}'"
    )
    validation.advance_reports(slice_seconds=60)
    made = progress(mirrored, report_id)
    assert made["report"] is not None
    assert made["report"].statistics.invalid_records == 3


def test_a_slice_ends_and_says_that_there_is_more(mirrored: World) -> None:
    request(mirrored, ORPHANS)
    assert validation.advance_reports(slice_seconds=0) is True
    validation.advance()
    assert mirrored.value("select count(*) from tds_validation_reports where ended_at is null") == 0


def test_a_check_that_cannot_be_carried_out_ends_its_report_with_the_reason(mirrored: World) -> None:
    report_id, other = request(mirrored), request(mirrored, "invoice")
    mirrored.execute("alter table erp.product rename column price to worth")
    validation.advance_reports(slice_seconds=60)
    failed = progress(mirrored, report_id)
    assert (failed["state"], failed["report"]) == ("failed", None)
    assert "price" in (failed["error"] or "")
    assert progress(mirrored, other)["state"] == "completed"


def test_the_dispatcher_wakes_a_worker_for_reports(mirrored: World) -> None:
    looking = Dispatcher(
        BreakerWakeup(Breakers(), calls_per_minute=lambda: 0, look_seconds=0.5), slots=lambda: 4, claim_size=lambda: 10
    )
    with mirrored.engine.connect() as connection:
        looking.look(connection)
        assert "tds.validation.advance" not in mirrored.nudged
        request(mirrored)
        looking.look(connection)
    assert "tds.validation.advance" in mirrored.nudged


def test_a_report_that_is_not_there_is_not_found(mirrored: World) -> None:
    for report_id in (1, 2**70):
        with session_scope(mirrored.engine) as session, pytest.raises(NotFoundError):
            stored_reports.progress(session, report_id)
