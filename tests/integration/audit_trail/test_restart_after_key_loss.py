"""A chain whose key was lost is begun anew: the old seals prove nothing, the new ones cover every row again."""

from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine

from tds_core.audit_trail import restart_after_key_loss, retention, seal_keys
from tds_core.audit_trail import seal as audit_seal
from tds_core.audit_trail.restart_after_key_loss import NoKeyLostError
from tds_core.audit_trail.row_digests import SEALED_TABLES
from tds_core.auth import api_keys
from tds_models.auth import Role
from tds_models.db import session_scope
from tests.integration.audit_trail.test_rolling_verification import whole_round
from tests.integration.audit_trail.test_seal import AUDIT, KEY, Trail
from tests.support.command_line import CommandLine
from tests.support.database_role import retire_at_any_age
from tests.support.webhook_sender import Sender, sender_for
from tests.support.world import World

LOST = seal_keys.derive(Fernet.generate_key().decode())
RESEAL = "/api/tds/audit/reseal"


@pytest.fixture
def trail(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Trail:
    """Forty rows sealed with a key that is lost by now."""
    monkeypatch.setattr(audit_seal, "ROWS_OF_A_SEAL", 5)
    trail = Trail(engine)
    trail.write(40)
    while trail.seal(LOST).seals:
        pass
    return trail


def begin_anew(trail: Trail) -> int:
    with session_scope(trail.engine) as session:
        seal = restart_after_key_loss.begin_anew(
            session, KEY, {KEY.id: KEY.secret}, reason="lost with its server", by="ann"
        )
    while trail.seal().seals:
        pass
    return seal.number


def test_before_it_every_seal_is_doubted(trail: Trail) -> None:
    assert {kind for kind, _ in trail.breaks()} == {"key_unknown"}


def test_after_it_the_old_seals_are_unproven_and_every_row_is_covered_again(trail: Trail) -> None:
    number = begin_anew(trail)
    report = trail.prove()
    assert (report.break_count, report.unproven_seal_count, report.row_count) == (0, 8, 40)
    [found] = report.restarts
    assert (found.number, found.note) == (number, "ann: lost with its server") == (9, "ann: lost with its server")
    assert {each.trail: each.row_count for each in report.unsealed}[AUDIT] == 0
    trail.write(3, entity="bill")
    trail.seal()
    assert trail.prove().row_count == 43


@pytest.mark.parametrize(("statement", "kind", "row"), [
    ("update tds_audit_trail set operation = 'x' where id = 7", "row_edited", 7),
    ("delete from tds_audit_trail where id = 1", "row_deleted", 1),
    ("delete from tds_audit_trail where id = 40", "row_deleted", 40),
])  # fmt: skip
def test_what_is_changed_afterwards_is_found(trail: Trail, statement: str, kind: str, row: int) -> None:
    begin_anew(trail)
    trail.tamper(statement)
    assert trail.breaks() == [(kind, row)]
    assert whole_round(trail).last.places == [f"{AUDIT}:{row}"]


def test_old_seals_still_may_not_go_missing(trail: Trail) -> None:
    begin_anew(trail)
    trail.tamper("delete from tds_audit_seals where number = 3")
    assert ("seal_missing", 3) in trail.breaks()


def test_a_restart_that_was_not_made_with_a_key_is_none(trail: Trail) -> None:
    trail.tamper(
        "update tds_audit_seals set kind = 'restarted', note = 'mallory' where number = 8",
        "update tds_audit_head set digest = (select digest from tds_audit_seals where number = 8)",
    )
    report = trail.prove()
    assert report.unproven_seal_count == 0
    assert {each.kind.value for each in report.breaks} == {"key_unknown"}


def test_a_note_that_was_edited_shows(trail: Trail) -> None:
    number = begin_anew(trail)
    trail.tamper(f"update tds_audit_seals set note = 'bob: nothing' where number = {number}")
    assert ("seal_edited", number) in trail.breaks()


def test_a_round_of_verification_finds_what_a_whole_one_finds(trail: Trail) -> None:
    assert whole_round(trail).last.count == 8
    begin_anew(trail)
    assert whole_round(trail).last.count == 0


def test_while_every_key_is_known_nothing_is_begun_anew(trail: Trail) -> None:
    with session_scope(trail.engine) as session, pytest.raises(NoKeyLostError):
        restart_after_key_loss.begin_anew(session, LOST, {LOST.id: LOST.secret}, reason="for fun", by="ann")
    begin_anew(trail)
    with session_scope(trail.engine) as session, pytest.raises(NoKeyLostError):
        restart_after_key_loss.begin_anew(session, KEY, {KEY.id: KEY.secret}, reason="once more", by="ann")


def test_rows_are_retired_by_the_new_seals(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    number = begin_anew(trail)
    monkeypatch.setattr(retention, "SEALS_AT_ONCE", 2)
    trail.tamper("update tds_audit_seals set sealed_at = now() - interval '60 days' where number < 9")
    with session_scope(trail.engine) as session:
        assert retention.retire(session, KEY, SEALED_TABLES[AUDIT], days=30) is None, "the new ones are young"
    retire_at_any_age(trail.engine)
    with session_scope(trail.engine) as session:
        seal = retention.retire(session, KEY, SEALED_TABLES[AUDIT], days=-1)
    assert seal is not None
    assert (seal.last_id, number) == (10, 9)
    assert trail.breaks() == []


def test_rows_that_were_retired_under_the_lost_key_are_not_missed(trail: Trail) -> None:
    retire_at_any_age(trail.engine)
    with session_scope(trail.engine) as session:
        retention.retire(session, LOST, SEALED_TABLES[AUDIT], days=-1)
    trail.write(4, entity="bill")
    begin_anew(trail)
    report = trail.prove()
    assert (report.breaks, report.row_count) == ([], 4)


@pytest.fixture
def sender(world: World, database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine, TDS_SECRET_KEY=Fernet.generate_key().decode()) as sender:
        yield sender


def test_it_is_begun_anew_over_http_with_a_reason(trail: Trail, sender: Sender, engine: Engine) -> None:
    assert sender.post(RESEAL, {"reason": ""}).status_code == 422
    begun = sender.post(RESEAL, {"reason": "lost with its server"})
    assert (begun.status_code, begun.json["note"]) == (200, "token: lost with its server")
    again = sender.post(RESEAL, {"reason": "lost with its server"})
    assert (again.status_code, again.json["code"]) == (409, "no_key_lost")
    with session_scope(engine) as session:
        _, key = api_keys.create_key(session, name="y", role=Role.OPERATOR, by="t")
    headers = {"Authorization": f"Bearer {key}"}
    assert sender.app.test_client().post(RESEAL, json={"reason": "why not"}, headers=headers).status_code == 403


def test_the_command_begins_anew_where_the_secret_key_was_lost(
    world: World, trail: Trail, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tds = CommandLine(monkeypatch, capsys)
    monkeypatch.setenv("TDS_SECRET_KEY", Fernet.generate_key().decode())
    trail.write(1, entity="bill")
    tds("audit", "seal")  # its key is stored, locked with a TDS_SECRET_KEY that goes as well
    monkeypatch.setenv("TDS_SECRET_KEY", Fernet.generate_key().decode())
    assert tds("audit", "verify").exit_code == 2, "a stored key cannot be opened"
    begun = tds("audit", "reseal", "--reason", "lost with its server", "--yes", "--json").json
    assert begun["note"].endswith(": lost with its server")
    tds("audit", "seal")
    said = tds("audit", "verify")
    assert said.exit_code == 0
    shown = " ".join(said.out.split())
    assert "The chain was begun anew with seal" in shown
    assert "made with a lost key and prove nothing" in shown
    assert "Nothing was edited, deleted or inserted since the chain was begun anew." in shown
    proof = tds("audit", "verify", "--json").json["proof"]
    assert (len(proof["restarts"]), proof["unproven_seal_count"] > 0) == (1, True)
    assert tds("audit", "reseal", "--reason", "again", "--yes").exit_code == 1
