"""Rolling verification promises: step by step it finds what a whole verification finds, and nothing else."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from tds_core.audit_trail import retention, rolling_verification
from tds_core.audit_trail import seal as audit_seal
from tds_core.audit_trail.rolling_verification import VerificationProgress
from tds_core.audit_trail.row_digests import SEALED_TABLES
from tds_models.db import session_scope
from tests.integration.audit_trail.test_seal import AUDIT, KEY, Trail
from tests.support.database_role import retire_at_any_age

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def trail(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Trail:
    """A history of 24 seals of five rows, of which a step verifies one; their numbers are read two at a time."""
    monkeypatch.setattr(audit_seal, "ROWS_OF_A_SEAL", 5)
    monkeypatch.setattr(rolling_verification, "SEALS_AT_ONCE", 2)
    trail = Trail(engine)
    trail.write(120)
    while trail.seal().seals:
        pass
    return trail


def step(trail: Trail) -> VerificationProgress:
    """One step, as the timetable makes it."""
    with session_scope(trail.engine) as session:
        progress = rolling_verification.stored_progress(session)
    with session_scope(trail.engine) as session:
        progress = rolling_verification.verify_next(
            session, {KEY.id: KEY.secret}, progress, seconds=0, at=NOW
        )  # fmt: skip
    with session_scope(trail.engine) as session:
        rolling_verification.store_progress(session, progress)
    return progress


def whole_round(trail: Trail) -> VerificationProgress:
    """Steps to the end of the chain."""
    while (progress := step(trail)).position:
        pass
    return progress


def test_an_untouched_history_is_verified_step_by_step(trail: Trail) -> None:
    positions = []
    while (progress := step(trail)).position:
        positions.append(progress.position)
    assert positions == list(range(1, 24))
    assert (progress.last.count, progress.last.at) == (0, NOW)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (f"update {AUDIT} set operation = 'deleted' where id = 61", "row_edited"),
        (f"delete from {AUDIT} where id = 61", "row_deleted"),
        ("update tds_audit_seals set row_count = 4 where number = 13", "seal_edited"),
        ("delete from tds_audit_seals where number = 13", "seal_missing"),
        ("delete from tds_audit_seals where number = 24", "seal_missing"),
    ],
)
def test_a_change_is_found_within_a_round_and_only_it(trail: Trail, statement: str, kind: str) -> None:
    step(trail)
    trail.tamper(statement)
    found = whole_round(trail).last
    assert list(found.kinds) == [kind]
    assert found.count == trail.prove().break_count


def test_a_change_of_what_is_verified_already_is_found_in_the_next_round(trail: Trail) -> None:
    step(trail)
    trail.tamper(f"update {AUDIT} set operation = 'deleted' where id = 1")
    assert whole_round(trail).worst.count == 0
    assert step(trail).worst.count == 1


def test_a_seal_taken_away_where_a_step_ended_is_found(trail: Trail) -> None:
    assert step(trail).position == 1
    trail.tamper("delete from tds_audit_seals where number = 1")
    assert whole_round(trail).last.kinds == {"seal_missing": 1}


def test_a_chain_cut_off_shows_at_the_next_step_and_counts_once(trail: Trail) -> None:
    trail.tamper("delete from tds_audit_seals where number > 20")
    assert step(trail).worst.places == ["tds_audit_seals:24"]
    assert step(trail).worst.count == 1


def test_what_was_found_stays_until_a_round_finds_it_no_more(trail: Trail) -> None:
    trail.tamper(f"update {AUDIT} set operation = 'deleted' where id = 1")
    whole_round(trail)
    trail.tamper(f"update {AUDIT} set operation = 'created' where id = 1")
    assert step(trail).worst.count == 1
    assert whole_round(trail).worst.count == 0


def test_retirement_in_the_midst_of_a_round_is_no_violation(trail: Trail) -> None:
    step(trail)
    retire_at_any_age(trail.engine)
    with session_scope(trail.engine) as session:
        assert retention.retire(session, KEY, SEALED_TABLES[AUDIT], days=-1) is not None
    assert whole_round(trail).worst.count == 0
    assert whole_round(trail).worst.count == 0
    assert trail.prove().break_count == 0


def test_a_history_without_seals_is_a_round(engine: Engine) -> None:
    progress = step(Trail(engine))
    assert (progress.position, progress.last.count, progress.last.at) == (0, 0, NOW)
