"""The backup loop: archives all the time, backs up when due, survives a gap, and removes what nobody needs."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tds_core.backups import catalog
from tds_core.backups.catalog import BackupEntry
from tds_local.backups import backup_loop, base_backup, wal_archive
from tds_local.backups import server as servers
from tds_local.programs import programs_of
from tests.support.backed_up_server import BackedUpServer
from tests.support.command_line import CommandLine

_PATIENCE_SECONDS = 60.0


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.1)


@contextlib.contextmanager
def looping(here: BackedUpServer) -> Iterator[None]:
    """The loop, in this process."""
    ending = threading.Event()
    thread = threading.Thread(target=backup_loop.loop, args=(here.settings, ending))
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(_PATIENCE_SECONDS)


def age(directory: Path, entry: BackupEntry, days: float) -> None:
    """Let a backup have been taken so many days ago."""
    path = catalog.base_directory(directory) / entry.name / catalog.ENTRY_FILE
    content = json.loads(path.read_text())
    for name in ("started_at", "ended_at"):
        content[name] = (datetime.fromisoformat(content[name]) - timedelta(days=days)).isoformat()
    path.write_text(json.dumps(content))


def test_a_first_backup_is_taken_at_once_and_the_log_is_archived(here: BackedUpServer) -> None:
    with looping(here):
        wait_for(lambda: here.rows("select name from tds_backups where error is null"))
        here.write("archived")
        here.await_archive()
    [entry] = catalog.entries(here.directory)
    assert entry.kind == catalog.FULL
    assert here.rows("select name, kind, byte_count from tds_backups") == [
        {"name": entry.name, "kind": "full", "byte_count": entry.byte_count}
    ]
    server = servers.look(base_backup.server_url(here.settings))
    now = datetime.now(UTC)
    assert not backup_loop.is_due(here.settings, here.directory, server, now)
    assert backup_loop.is_due(here.settings, here.directory, server, now + timedelta(hours=25))


def test_a_chain_goes_once_a_later_one_reaches_back_far_enough(here: BackedUpServer, tds: CommandLine) -> None:
    tds("backup")
    tds("backup")
    for entry in catalog.entries(here.directory):
        age(here.directory, entry, 30)
    assert tds("backup", "--json").json["kind"] == "full"
    assert len(catalog.entries(here.directory)) == 3
    age(here.directory, catalog.entries(here.directory)[-1], 15)
    tds("backup", "--full")
    assert [entry.kind for entry in catalog.entries(here.directory)] == ["full", "full"]
    assert base_backup.prune(here.settings) == []


@pytest.mark.long
def test_a_log_that_was_lost_to_the_archive_begins_another_part_with_a_full_backup(here: BackedUpServer) -> None:
    history = here.archive()
    backup_loop.taken(here.settings)
    here.stop()
    here.start()
    here.execute("select pg_drop_replication_slot('tds_backup')")
    for _ in range(3):
        here.write("lost")
        here.execute("select pg_switch_wal()")
        here.execute("checkpoint")
    here.execute("checkpoint")
    with looping(here):
        wait_for(lambda: len(catalog.entries(here.directory)) == 2)
    first, second = catalog.entries(here.directory)
    assert (first.wal, second.wal, second.kind) == (history, f"{history}+2", "full")
    wal_archive.check_whole(here.directory, second)


def test_a_backup_that_fails_says_why_and_leaves_a_row(here: BackedUpServer, tds: CommandLine) -> None:
    here.execute("create role weak login password 'weak-password'")
    own = here.settings.database_url
    tds.monkeypatch.setenv("TDS_BACKUP_URL", f"postgresql://weak:weak-password@{own.rpartition('@')[2]}")
    failed = tds("backup")
    assert (failed.exit_code, "ALTER ROLE weak REPLICATION" in failed.errors) == (1, True), failed.errors
    [row] = here.rows("select name, error from tds_backups")
    assert (row["name"], "REPLICATION" in row["error"]) == ("", True)
    assert catalog.entries(here.directory) == []


def test_the_loop_is_a_program_of_a_stack_that_has_a_directory(here: BackedUpServer) -> None:
    assert "backup" in [program.name for program in programs_of(here.settings)]
    without = here.settings.replace("test", backup_directory="")
    assert "backup" not in [program.name for program in programs_of(without)]
