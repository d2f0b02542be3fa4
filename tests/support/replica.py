"""A streaming replica of the tests' PostgreSQL, made by pg_basebackup, that can be killed, started and held back."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psycopg2

from tds_core.database_urls import without_driver
from tds_local.embedded import binaries, unprivileged_account
from tds_local.embedded.child_process import Child, spawn
from tds_local.embedded.postgres import server_command
from tests.support.brokers import free_ports, wait_until


class StreamingReplica:
    """Follows the server of `primary_url`. `url(database)`: where the same database is read."""

    def __init__(self, primary_url: str, home: Path) -> None:
        self._primary = urlsplit(without_driver(primary_url))
        self._account = unprivileged_account.unprivileged_account()
        self._programs = unprivileged_account.programs_for(binaries.postgres_programs(), self._account)
        self._data = unprivileged_account.cluster_directory(home / "replica", self._account) / "data"
        self._log = home / "replica.log"
        [self.port] = free_ports(1)
        self._process: Child | None = None

    def url(self, database: str) -> str:
        """The address of the replica's copy of a database."""
        place = f"{self._primary.username}:{self._primary.password}@127.0.0.1:{self.port}"
        return f"postgresql://{place}/{database}"

    def __enter__(self) -> Self:
        if self._account is not None:
            os.chown(self._data.parent, self._account.uid, self._account.gid)
        command = [
            self._programs / "pg_basebackup", "--dbname", self._primary.geturl(), "--pgdata", self._data,
            "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync",
        ]  # fmt: skip
        subprocess.run(
            [str(each) for each in command], check=True, cwd="/", timeout=300,
            **unprivileged_account.identity(self._account),
        )  # fmt: skip
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._data.parent, ignore_errors=True)

    def start(self) -> None:
        """Start it and wait until it can be read."""
        major = binaries.major_version(self._programs)
        command = server_command(self._programs, self._data, port=self.port, durable=False, major=major)
        self._process = spawn(command, log=self._log, cwd=Path("/"), account=self._account, death_signal=signal.SIGINT)
        wait_until(self._answers, "the replica can be read")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        self._process = None

    def hold_back(self) -> None:
        """Have it replay nothing more."""
        self._ask("select pg_wal_replay_pause()")

    def let_go(self) -> None:
        """Have it replay what it holds back."""
        self._ask("select pg_wal_replay_resume()")

    def promote(self) -> None:
        """Make it a server that takes writes of its own."""
        self._ask("select pg_promote()")

    def _ask(self, statement: str) -> None:
        connection = psycopg2.connect(self.url("postgres"), connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def _answers(self) -> bool:
        try:
            self._ask("select 1")
        except psycopg2.Error:
            return False
        return True
