"""Restore: any moment since a backup can be had again, nothing is overwritten unasked, and damage is never restored."""

import json
import os
from datetime import datetime
from pathlib import Path

import psycopg2
import pytest

from tds_core.database_urls import without_driver
from tests.support.backed_up_server import BackedUpServer
from tests.support.command_line import CommandLine


def test_a_moment_between_two_changes_is_restored_from_full_incremental_and_log(
    here: BackedUpServer, tds: CommandLine
) -> None:
    here.archive()
    here.write("before")
    first = tds("backup", "--json").json
    here.write("between")
    second = tds("backup", "--json").json
    moment = here.write("wanted")
    here.write("unwanted")
    here.await_archive()
    assert (first["kind"], second["kind"], second["parent"]) == ("full", "incremental", first["name"])
    here.stop()

    refused = tds("restore", "--to", moment.isoformat())
    assert refused.exit_code == 1
    assert "--overwrite" in refused.errors

    done = tds("restore", "--to", moment.isoformat(), "--overwrite", "--json")
    assert done.exit_code == 0, done.errors
    here.start()
    assert here.words() == ["before", "between", "wanted"]
    assert here.rows("select kind, backup, target_at, error from tds_restores") == [
        {"kind": "restore", "backup": second["name"], "target_at": moment, "error": None}
    ]


@pytest.mark.long
def test_a_restored_server_begins_another_history_from_which_it_is_restored_again(
    here: BackedUpServer, tds: CommandLine
) -> None:
    old = here.archive()
    tds("backup")
    here.write("first life")
    here.await_archive()
    here.stop()
    assert tds("restore", "--overwrite").exit_code == 0
    here.start()
    new = here.archive()
    assert new != old
    assert tds("backup", "--json").json["kind"] == "full"
    here.write("second life")
    here.await_archive()
    here.stop()
    assert tds("restore", "--overwrite").exit_code == 0
    here.start()
    assert here.words() == ["first life", "second life"]


def test_a_damaged_backup_is_refused_and_nothing_is_touched(here: BackedUpServer, tds: CommandLine) -> None:
    here.write("kept")
    taken = tds("backup", "--json").json
    damaged = here.base_files(taken["name"])[0]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    looked = tds("backup", "verify")
    assert (looked.exit_code, damaged.name in looked.errors) == (1, True), looked.errors
    here.stop()
    refused = tds("restore", "--overwrite")
    assert refused.exit_code == 1
    assert "backup_damaged" in refused.errors
    assert "tds backup --full" in refused.errors
    here.start()
    assert here.words() == ["kept"]


def test_a_gap_in_the_archived_log_is_told_before_anything_is_restored(here: BackedUpServer, tds: CommandLine) -> None:
    history = here.archive()
    tds("backup")
    for word in ("one", "two", "three"):
        here.write(word)
        here.value("select pg_switch_wal()::text")
    here.await_archive()
    segments = sorted((here.directory / "wal" / history).glob("0*"))
    segments[-2].unlink()
    refused = tds("restore", "--drill", "--no-compare")
    assert refused.exit_code == 1
    assert segments[-2].name in refused.errors


@pytest.mark.long
def test_a_moment_the_log_does_not_reach_is_refused(here: BackedUpServer, tds: CommandLine) -> None:
    early = here.write("early").isoformat()
    here.archive()
    tds("backup")
    here.write("late")
    here.await_archive()
    before = tds("restore", "--drill", "--to", early)
    assert (before.exit_code, "earliest moment" in before.errors) == (1, True), before.errors
    ahead = tds("restore", "--drill", "--to", "2999-01-01")
    assert (ahead.exit_code, "not come yet" in ahead.errors) == (1, True)
    now = here.value("select clock_timestamp()").isoformat()
    beyond = tds("restore", "--drill", "--no-compare", "--to", now)
    assert (beyond.exit_code, "ends before this moment" in beyond.errors) == (1, True), beyond.errors


@pytest.mark.long
def test_the_key_is_needed_unless_the_backup_holds_it(
    here: BackedUpServer, tds: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.write("kept")
    key = here.settings.secret_key
    tds("backup")
    here.stop()
    monkeypatch.delenv("TDS_SECRET_KEY")
    (here.home / "secrets.json").unlink()
    refused = tds("restore", "--overwrite")
    assert (refused.exit_code, "TDS_SECRET_KEY" in refused.errors) == (2, True), refused.errors
    assert not (here.home / "secrets.json").exists()

    monkeypatch.setenv("TDS_SECRET_KEY", key)
    assert tds("restore", "--overwrite").exit_code == 0
    here.start()
    assert here.words() == ["kept"]
    assert tds("backup", "--with-secrets", "--json").json["holds_secrets"]
    here.stop()
    monkeypatch.delenv("TDS_SECRET_KEY")
    (here.home / "secrets.json").unlink()
    assert tds("restore", "--overwrite").exit_code == 0
    assert json.loads((here.home / "secrets.json").read_text())["TDS_SECRET_KEY"] == key
    here.start()
    assert here.words() == ["kept"]


@pytest.mark.long
def test_a_directory_is_made_from_which_a_server_recovers_by_itself(here: BackedUpServer, tds: CommandLine) -> None:
    here.archive()
    tds("backup")
    moment = here.write("wanted")
    here.write("unwanted")
    here.await_archive()
    place = here.home / "made"
    made = tds("restore", "--into", str(place), "--to", moment.isoformat())
    assert made.exit_code == 0, made.errors
    assert f"pg_ctl -D {place}" in made.out
    assert "recovery_target_time" in (place / "postgresql.auto.conf").read_text()
    again = tds("restore", "--into", str(place))
    assert (again.exit_code, "not empty" in again.errors) == (1, True)


@pytest.mark.long
def test_of_a_machine_that_dies_amid_writes_less_than_a_second_is_lost(here: BackedUpServer, tds: CommandLine) -> None:
    here.archive()
    assert tds("backup").exit_code == 0
    here.execute("create table ticks (n bigint generated always as identity, at timestamptz default clock_timestamp())")
    connection = psycopg2.connect(without_driver(here.settings.database_url))
    connection.autocommit = True
    last: datetime | None = None
    with connection.cursor() as cursor:
        for _ in range(500):
            cursor.execute("insert into ticks default values returning at")
            [last] = cursor.fetchone()
    here.kill()
    assert tds("restore", "--overwrite").exit_code == 0
    here.start()
    lost = last - here.value("select max(at) from ticks")
    with Path(os.environ.get("REHEARSAL_LOG", os.devnull)).open("a") as file:
        file.write(f"lost: {lost.total_seconds():.3f} s\n")
    assert lost.total_seconds() < 1
