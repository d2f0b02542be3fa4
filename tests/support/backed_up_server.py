"""An embedded PostgreSQL of a test's own, whose backups and archived log go into a directory."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text

from tds_core.backups import catalog
from tds_core.config.settings import Settings, load_settings
from tds_core.schema.migrations import upgrade
from tds_local.backups import server as servers
from tds_local.backups import wal_archive
from tds_local.embedded import EmbeddedPostgres
from tds_local.embedded.child_process import Child
from tds_models.db import make_engine, session_scope

_ARCHIVED_SECONDS = 20.0


class BackedUpServer:
    """A server that can be written to, archived, stopped and started again."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self._monkeypatch = home, monkeypatch
        self.directory = home / "backups"
        self._server = EmbeddedPostgres(home)
        self._receiver: Child | None = None

    @property
    def settings(self) -> Settings:
        return load_settings()

    def start(self) -> None:
        """Start it, migrated; its address is in the environment, as that of a running stack is in a file."""
        self._monkeypatch.setenv("TDS_DATABASE_URL", self._server.start())
        upgrade(self._server.url)

    def stop(self) -> None:
        """Stop it and its archive; the environment knows no address of it."""
        if self._receiver is not None:
            self._receiver.terminate()
            self._receiver.wait()
            self._receiver = None
        self._server.stop()
        self._monkeypatch.delenv("TDS_DATABASE_URL", raising=False)

    def kill(self) -> None:
        """Kill the server with all its processes, and lose its files, as a machine that burns does."""
        postmaster = psutil.Process(self._server.pid)
        for process in (postmaster, *postmaster.children(recursive=True)):
            process.kill()
        self.stop()
        place = self.home / "postgres" / "place"
        shutil.rmtree(Path(place.read_text().strip()) if place.exists() else self.home / "postgres" / "data")

    def archive(self) -> str:
        """Archive its log from now on; the name of its history."""
        server = servers.look(self._server.url)
        self._receiver = wal_archive.receive(self.directory, server, self.home / "receiver.log")
        return wal_archive.current(self.directory, server.history)

    def await_archive(self) -> None:
        """Wait until all that was committed is archived."""
        end, until = self.value("select pg_current_wal_flush_lsn()::text"), time.monotonic() + _ARCHIVED_SECONDS
        while not self.value("""
            select coalesce(bool_or(flush_lsn >= cast(:lsn as pg_lsn)), false) from pg_stat_replication
            where application_name = 'tds-backup'""", lsn=end):  # fmt: skip
            assert time.monotonic() < until, "the log is not archived"
            time.sleep(0.05)

    def write(self, word: str) -> datetime:
        """Commit a word; the server's clock afterwards."""
        self.execute("create table if not exists words (word text)")
        self.execute("insert into words values (:word)", word=word)
        moment: datetime = self.value("select clock_timestamp()")
        return moment

    def words(self) -> list[str]:
        return [row["word"] for row in self.rows("select word from words order by 1")]

    def value(self, statement: str, **params: Any) -> Any:
        [row] = self.rows(statement, **params)
        [value] = row.values()
        return value

    def rows(self, statement: str, **params: Any) -> list[dict[str, Any]]:
        engine = make_engine(self._server.url, pool_size=1)
        try:
            with session_scope(engine) as session:
                return [dict(row) for row in session.execute(text(statement), params).mappings()]
        finally:
            engine.dispose()

    def execute(self, statement: str, **params: Any) -> None:
        engine = make_engine(self._server.url, pool_size=1)
        try:
            with session_scope(engine) as session:
                session.execute(text(statement), params)
        finally:
            engine.dispose()

    def base_files(self, name: str) -> list[Path]:
        """The files of tables in a backup, the largest first."""
        files = [path for path in (catalog.files_of(self.directory, name) / "base").rglob("*") if path.is_file()]
        return sorted(files, key=lambda path: -path.stat().st_size)


def read_everything() -> dict[str, Any]:
    """Bring the organisation over in a process of its own, as workers would, and compare."""
    done = subprocess.run(
        [sys.executable, "-m", "tds_local.backups.drill_comparison"],
        env={**os.environ, "TDS_BROKER_URL": "memory://"}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def backed_up_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BackedUpServer]:
    """A running server with an empty directory for backups."""
    memory = Path("/dev/shm")  # noqa: S108 (writing there takes a tenth of the time)
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 1024**3
    home = Path(tempfile.mkdtemp(prefix="tds-backup-", dir=memory if roomy else None))
    home.chmod(0o755)
    for name in [name for name in os.environ if name.startswith(("TDS_", "ZOHO_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TDS_HOME", str(home))
    monkeypatch.setenv("TDS_BACKUP_DIRECTORY", str(home / "backups"))
    monkeypatch.setenv("TDS_SECRET_KEY", Fernet.generate_key().decode())
    here = BackedUpServer(home, monkeypatch)
    try:
        here.start()
        yield here
    finally:
        here.stop()
        shutil.rmtree(home, ignore_errors=True)
