"""`tds audit` promises: one command seals, one proves, and both say in words and exit codes what they found."""

import os
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_tasks import schedule
from tests.support.command_line import CommandLine
from tests.support.database_role import superuser
from tests.support.world import ScriptedSource, World, delivery, product


@pytest.fixture
def tds(world: World, source: ScriptedSource, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> CommandLine:  # fmt: skip
    for second, price in enumerate((10, 11, 12)):
        world.deliver(delivery("product", product(second=second, rate=price)))
        world.drain("product")
    return CommandLine(monkeypatch, capsys)


def tamper(world: World, statement: str) -> None:
    with superuser(world.engine) as session:
        session.execute(text("set local session_replication_role = replica"))
        session.execute(text(statement))


WRITE = """
insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, correlation_id)
values ('zoho', 'bill', '1', 1, 'created', '{}', 'run', 'c')"""


def test_an_untouched_history_is_proven_in_words_and_for_programs(tds: CommandLine) -> None:
    assert "3 rows sealed" in tds("audit", "seal").out
    said = tds("audit", "verify")
    assert (said.exit_code, "Nothing was edited, deleted or inserted." in said.out) == (0, True)
    told = tds("audit", "verify", "--json").json
    assert (told["is_intact"], told["proof"]["row_count"], told["proof"]["break_count"]) == (True, 3, 0)


def test_what_waits_to_be_sealed_is_said(tds: CommandLine) -> None:
    said = tds("audit", "verify")
    assert (said.exit_code, "3 rows are not sealed yet" in said.out) == (0, True)


def test_an_edited_row_is_named_and_the_command_fails(tds: CommandLine, world: World) -> None:
    tds("audit", "seal")
    tamper(world, """update tds_audit_trail set changes = '{"price": ["10", "9"]}' where version = 2""")
    said = tds("audit", "verify")
    assert said.exit_code == 1
    assert "(entity product, source_id 460000000000001, version 2) was edited" in " ".join(said.out.split())
    [found] = tds("audit", "verify", "--json").json["proof"]["breaks"]
    assert (found["kind"], found["trail"]) == ("row_edited", "tds_audit_trail")


def test_an_end_that_was_cut_off_and_made_anew_lacks_the_seal_somebody_kept(tds: CommandLine, world: World) -> None:
    head = tds("audit", "seal", "--json").json["head"]
    assert tds("audit", "verify", "--head", head).exit_code == 0
    tamper(world, "delete from tds_audit_seals")
    tamper(world, "delete from tds_audit_head")
    tamper(world, "delete from tds_audit_trail where version = 3")
    tds("audit", "seal")
    assert tds("audit", "verify").exit_code == 0  # nothing inside can tell
    said = tds("audit", "verify", "--head", head)
    assert (said.exit_code, "its end was cut off" in said.out) == (1, True)


def test_sealing_says_what_it_could_not_wait_for(tds: CommandLine, world: World) -> None:
    with Session(world.engine) as writing:
        writing.execute(text(WRITE))
        said = tds("audit", "seal", "--wait", "0")
        assert (said.exit_code, "0 rows sealed" in said.out, "wait for transactions" in said.out) == (1, True, True)
        threading.Timer(0.5, writing.commit).start()
        assert tds("audit", "seal", "--json").json["row_count"] == 4


@pytest.mark.parametrize("wrong", [["--since", "yesterday"], ["--head", "12"]])
def test_what_cannot_be_understood_is_said_with_an_example(tds: CommandLine, wrong: list[str]) -> None:
    said = tds("audit", "verify", *wrong)
    assert said.exit_code == 2
    assert "rit" in said.errors  # write …, is written …


def test_without_the_secret_key_nothing_is_sealed_and_the_setting_is_named(
    tds: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TDS_SECRET_KEY")
    said = tds("audit", "seal")
    assert (said.exit_code, "TDS_SECRET_KEY" in said.errors) == (2, True)


def test_seals_stay_good_when_the_key_is_rotated(
    tds: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = os.environ["TDS_SECRET_KEY"]
    tds("audit", "seal")
    monkeypatch.setenv("TDS_SECRET_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("TDS_SECRET_KEY_PREVIOUS", old)
    assert tds("audit", "verify").exit_code == 0
    assert "keys of the history's seals" in tds("zoho", "rotate-key").out
    monkeypatch.delenv("TDS_SECRET_KEY_PREVIOUS")
    assert tds("audit", "verify").exit_code == 0


def test_the_timetable_seals_every_minute(tds: CommandLine, world: World) -> None:
    assert schedule.JOBS["seal"]({}) == "3 rows sealed"
    assert tds("audit", "verify", "--json").json["proof"]["seal_count"] == 1


def test_history_is_kept_for_ever_unless_a_setting_says_how_long(
    tds: CommandLine, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    tds("audit", "seal")
    assert "tds_audit_trail" not in schedule.JOBS["retention"]({})
    with pytest.raises(Exception, match="0, or from 30 to 36500"):
        monkeypatch.setenv("TDS_AUDIT_DAYS", "7")
        schedule.settings.cache_clear()
        schedule.JOBS["retention"]({})
    monkeypatch.setenv("TDS_AUDIT_DAYS", "30")
    schedule.settings.cache_clear()
    assert "'tds_audit_trail': 0" in schedule.JOBS["retention"]({})
