"""A real PostgreSQL for one machine: made on first use, started, watched for readiness, stopped."""

import contextlib
import signal
import subprocess
import threading
import time
from pathlib import Path

import psycopg2
from psycopg2 import sql

from tds_core.embedded import binaries, cluster, places
from tds_core.embedded.accounts import Account, unprivileged_account
from tds_core.embedded.children import Child, spawn
from tds_core.embedded.home import Ownership, secret_of_home
from tds_core.embedded.leftovers import end_leftovers
from tds_core.embedded.ports import LOOPBACK, choose_port
from tds_core.embedded.startup import StartFailure, check_files, known_port, wait_until_ready
from tds_core.errors import EmbeddedServerError
from tds_core.urls import without_driver

_DATABASE = "tds"
_READY_SECONDS = 120.0  # recovery after a crash reads up to max_wal_size
_STOP_SECONDS = 30.0


class EmbeddedPostgres:
    """A PostgreSQL below a home directory, on loopback, with a password; `durable=False` is for tests only."""

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self._home, self._durable = home, durable
        self._directory = home / "postgres"
        self._ownership = Ownership(self._directory / "owner", what="An embedded PostgreSQL")
        self._log = home / "logs" / "postgres.log"
        self._process: Child | None = None
        self._url, self._port = "", 0
        self._ended = threading.Event()

    @property
    def url(self) -> str:
        """The address of the running server's database, in SQLAlchemy's form; empty when it does not run."""
        return self._url

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> str:
        """Start the server, making its files on first use, and return its address.

        Raises AlreadyRunningError when another process runs it and EmbeddedServerError for everything else.
        """
        self._ownership.take()
        self._ended.clear()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self._url

    def stop(self) -> None:
        """Stop it in order: connections are cut, what is committed is on disk. Safe to call twice."""
        self._ended.set()  # for another thread that is starting it again
        process, self._process, self._url, self._port = self._process, None, "", 0
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._ownership.release()

    def keep_running(self) -> bool:
        """Start it again when it has ended, at the address everybody knows; returns whether it had.

        Raises what `start` does; call it again later.
        """
        if self._process is None or self._process.poll() is None:
            return False
        self._start()
        return True

    def __enter__(self) -> "EmbeddedPostgres":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        check_files("PostgreSQL")
        account = unprivileged_account()
        programs = places.programs_for(binaries.postgres_programs(), account)
        place = places.place_of_cluster(self._directory, account)
        password = secret_of_home(self._home, "EMBEDDED_POSTGRES_PASSWORD")
        data = cluster.make_cluster(programs, place, account, password=password, durable=self._durable)
        end_leftovers(("postgres",), data, gently=signal.SIGINT)
        # Nobody works there now; the number in a stale file could be a stranger's and stop the start.
        (data / "postmaster.pid").unlink(missing_ok=True)
        for attempt in (1, 2, 3):
            try:
                self._url = self._launch(programs, data, account, password)
                return
            except StartFailure as failure:
                if not failure.is_passing or attempt == 3 or self._ended.is_set():
                    raise EmbeddedServerError(f"The embedded PostgreSQL did not start: {failure}") from None
                time.sleep(attempt)

    def _launch(self, programs: Path, data: Path, account: Account | None, password: str) -> str:
        port = known_port(self._port) or choose_port(self._directory / "port")
        since = self._log.stat().st_size if self._log.exists() else 0
        command = cluster.server_command(programs, data, port=port, durable=self._durable)
        self._process = spawn(command, log=self._log, cwd=Path("/"), account=account, death_signal=signal.SIGINT)
        url = f"postgresql+psycopg2://{cluster.OWNER}:{password}@{LOOPBACK}:{port}/{_DATABASE}"
        wait_until_ready(self._process, self._log, lambda: _ensure_database(url), seconds=_READY_SECONDS, since=since)
        self._port = port
        return url


def _ensure_database(url: str) -> bool:
    """Whether the server answers; its one database is made if it is not there."""
    maintenance = without_driver(url).rpartition("/")[0] + "/postgres"
    try:
        connection = psycopg2.connect(maintenance, connect_timeout=5)
    except psycopg2.OperationalError as error:
        if "password authentication failed" in str(error):
            raise EmbeddedServerError(
                "The embedded PostgreSQL refuses the password kept in secrets.json of the home directory. "
                "Restore that file, or set TDS_HOME to a new directory."
            ) from None
        return False
    with contextlib.closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (_DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))
    return True
