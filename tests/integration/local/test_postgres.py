"""The embedded PostgreSQL: made once, keeps what it was given, dies with its parent, survives being killed."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg2
import pytest

from tds_core.database_urls import without_driver
from tds_core.errors import AlreadyRunningError, EmbeddedServerError
from tds_local.embedded import EmbeddedPostgres, EmbeddedRedis, binaries, unprivileged_account
from tds_local.embedded.unprivileged_account import Account


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that every account may enter."""
    home = Path(tempfile.mkdtemp(prefix="tds-home-"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home)


def ask(url: str, statement: str) -> object:
    connection = psycopg2.connect(without_driver(url))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def test_what_was_written_is_there_after_a_restart_at_the_same_address(home: Path) -> None:
    with EmbeddedPostgres(home) as first:
        address = first.url
        ask(address, "CREATE TABLE kept AS SELECT 42 AS answer")
    with EmbeddedPostgres(home) as second:
        assert second.url == address
        assert ask(address, "SELECT answer FROM kept") == 42


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedRedis])
def test_a_restart_that_may_open_no_file_says_so_and_nothing_else(
    home: Path, kind: type[EmbeddedPostgres | EmbeddedRedis]
) -> None:
    with kind(home) as server:
        address = server.url
        psutil.Process(server.pid).kill()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        time.sleep(0.2)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(EmbeddedServerError) as told:
                server.keep_running()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "Too many open files (3 are allowed in this process)" in str(told.value)
        assert "LimitNOFILE" in str(told.value)
        assert wait_for(server.keep_running)
        assert server.url == address


def test_it_is_durable_utf8_in_utc_and_only_on_loopback(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        shown = [ask(server.url, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "timezone")]
        assert shown == ["on", "on", "UTC"]
        assert ask(server.url, "SHOW server_encoding") == "UTF8"
        listening = {each.laddr.ip for each in psutil.Process(server.pid).net_connections() if each.status == "LISTEN"}
        assert listening == {"127.0.0.1"}


def test_nobody_gets_in_without_the_password(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        for wrong in ("", "guess"):
            with pytest.raises(psycopg2.OperationalError, match="password"):
                psycopg2.connect(without_driver(server.url).replace(password_of(server.url), wrong), passfile="none")


def password_of(url: str) -> str:
    return urlsplit(url).password or ""


def test_a_second_one_in_the_same_home_is_refused_by_name(home: Path) -> None:
    with (
        EmbeddedPostgres(home),
        pytest.raises(AlreadyRunningError, match=f"already running.*process {os.getpid()}"),
    ):
        EmbeddedPostgres(home).start()
    with EmbeddedPostgres(home) as server:
        assert ask(server.url, "SELECT 1") == 1


def test_a_killed_server_comes_back_at_the_same_address_with_what_was_committed(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        address, pid = server.url, server.pid
        ask(address, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert not server.keep_running()
        os.kill(pid, signal.SIGKILL)
        assert wait_for(server.keep_running)
        assert (server.url, server.pid == pid) == (address, False)
        assert ask(address, "SELECT answer FROM kept") == 42


def test_one_that_a_thread_started_again_outlives_the_thread(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        os.kill(server.pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(server.pid)], timeout=0.1)
        starting = threading.Thread(target=lambda: wait_for(server.keep_running))
        starting.start()
        starting.join()
        time.sleep(1)
        assert ask(server.url, "SELECT 1") == 1


def test_one_that_ended_waits_for_its_own_port_for_its_clients_know_no_other(home: Path) -> None:
    with EmbeddedPostgres(home) as server, socket.socket() as other:
        address, port = server.url, int(server.url.rpartition(":")[2].split("/")[0])
        os.kill(server.pid, signal.SIGKILL)
        psutil.Process(server.pid).wait(5)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(EmbeddedServerError, match=f"took its port, {port}"):
            server.keep_running()
        other.close()
        assert server.keep_running()
        assert server.url == address


def test_it_dies_with_a_parent_that_is_killed_and_starts_again(home: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tds_local.embedded import EmbeddedPostgres;"
        "server = EmbeddedPostgres(Path(sys.argv[1])); server.start(); print(server.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, text=True)
    server = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    with EmbeddedPostgres(home) as again:  # at once: it waits for the other to be gone
        # Where nobody buries orphans, its name stays in the list of processes.
        assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
        assert ask(again.url, "SELECT 1") == 1


def test_a_taken_port_is_left_to_its_owner(home: Path) -> None:
    with EmbeddedPostgres(home) as server:
        port = int(server.url.rpartition(":")[2].split("/")[0])
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the one before may linger
        other.bind(("127.0.0.1", port))
        other.listen()
        with EmbeddedPostgres(home) as server:
            assert f":{port}/" not in server.url
            assert ask(server.url, "SELECT 1") == 1


def test_data_of_another_version_is_refused_with_the_mend(home: Path) -> None:
    with EmbeddedPostgres(home):
        pass
    (home / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 9.*TDS_HOME"):
        EmbeddedPostgres(home).start()


def test_lost_secrets_are_reported_and_not_guessed_around(home: Path) -> None:
    with EmbeddedPostgres(home):
        pass
    (home / "secrets.json").unlink()
    with pytest.raises(EmbeddedServerError, match=r"secrets\.json"):
        EmbeddedPostgres(home).start()


def test_an_interrupted_first_start_leaves_nothing_half_made(home: Path) -> None:
    partial = home / "postgres" / "data.partial"
    partial.mkdir(parents=True)
    (partial / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(home) as server:
        assert ask(server.url, "SELECT 1") == 1
    assert not partial.exists()


def test_a_home_that_only_its_owner_may_enter_is_enough(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with EmbeddedPostgres(tmp_path) as server:
        address = server.url
        ask(address, "CREATE TABLE kept AS SELECT 42 AS answer")
    with EmbeddedPostgres(tmp_path) as server:
        assert ask(address, "SELECT answer FROM kept") == 42
    place = tmp_path / "postgres" / "place"
    if place.exists():
        shutil.rmtree(place.read_text().strip())


def test_programs_that_the_account_cannot_reach_are_copied_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = binaries.postgres_programs()
    monkeypatch.setattr(unprivileged_account, "may_use", lambda _account, argv: not argv[0].startswith(str(programs)))
    monkeypatch.setattr(unprivileged_account, "_public_directory", lambda _account: tmp_path)
    copied = unprivileged_account.programs_for(programs, Account("nobody", 65534, 65534))
    assert copied.is_relative_to(tmp_path)
    for name in ("postgres", "initdb"):
        answer = subprocess.run([copied / name, "--version"], capture_output=True, text=True, check=True, env={})
        assert "PostgreSQL" in answer.stdout
    assert unprivileged_account.programs_for(programs, Account("nobody", 65534, 65534)) == copied


def wait_for(seen: object, seconds: float = 10) -> bool:
    """Ask until it is true, at most so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if seen():
            return True
        time.sleep(0.02)
    return False


def test_its_log_says_what_went_wrong_and_quotes_no_record(home: Path) -> None:
    secret, log = "Anna Example 49 30 1234", home / "logs" / "postgres.log"
    with EmbeddedPostgres(home) as server:
        ask(server.url, "CREATE TABLE people (name text PRIMARY KEY, age int CHECK (age > 0))")
        ask(server.url, f"INSERT INTO people VALUES ('{secret}', 1)")
        wrong = (
            f"INSERT INTO people VALUES ('{secret}', 1)",  # its DETAIL names the key
            f"INSERT INTO people VALUES ('{secret} again', -1)",  # and here the whole row
            f"SELECT 1/0 /* {secret} */",
            f"DO $$ BEGIN PERFORM 1/0, '{secret}'; END $$",  # its CONTEXT is the code
            f"SELECT '{secret}' FROM nowhere",
            f"PREPARE p (text) AS SELECT 1/length($1); EXECUTE p(left('{secret}', 0))",
        )
        for statement in wrong:
            with pytest.raises(psycopg2.Error):
                ask(server.url, statement)
    said = log.read_text()
    assert said.count("ERROR:") == len(wrong)
    assert "duplicate key value violates unique constraint" in said
    assert secret not in said
    assert "EXECUTE" not in said
