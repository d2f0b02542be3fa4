"""An embedded PostgreSQL for one machine: its data directory, created at first use, and its server process."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg2
from psycopg2 import sql

from tds_core.database_urls import without_driver
from tds_core.errors import EmbeddedServerError
from tds_local.embedded import binaries
from tds_local.embedded import unprivileged_account as embedded_unprivileged_account
from tds_local.embedded.binaries import major_version
from tds_local.embedded.child_process import Child, end_leftovers, spawn
from tds_local.embedded.home import Ownership, secret_of_home
from tds_local.embedded.readiness import LOOPBACK, StartFailure, check_files, choose_port, known_port, wait_until_ready
from tds_local.embedded.unprivileged_account import Account, identity, unprivileged_account

OWNER = "tds"

# For a small machine with an SSD; larger installations use their own PostgreSQL.
_TUNING = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
    # Errors without contents of records: no statement, no parameters, and no DETAIL, which quotes rows.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "password_encryption": "scram-sha-256",
}
# What incremental backups need, and a bound on the log kept for a backup that nobody fetches.
_BACKED_UP = {"summarize_wal": "on", "max_slot_wal_keep_size": "4GB"}
_FIRST_WITH_SUMMARIES = 17
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_DISPOSABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "10s"}


def make_cluster(programs: Path, place: Path, account: Account | None, *, password: str, durable: bool) -> Path:
    """Return the data directory, running initdb when there is none yet."""
    data, partial, password_file = place / "data", place / "data.partial", place / ".password"
    major = major_version(programs)
    if data.exists():
        _check_version(data, major)
        return data
    if account is not None:
        os.chown(place, account.uid, account.gid)
    shutil.rmtree(partial, ignore_errors=True)  # of an initdb that was killed
    try:
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.write(descriptor, password.encode())
        os.close(descriptor)
        if account is not None:
            os.chown(password_file, account.uid, account.gid)
        _initdb(programs, partial, account, [f"--pwfile={password_file}", *([] if durable else ["--no-sync"])], major)
        partial.rename(data)
    finally:
        password_file.unlink(missing_ok=True)
    return data


def server_command(programs: Path, data: Path, *, port: int, durable: bool, major: int) -> list[str]:
    """Return the command that runs the server, of this major version, in the foreground."""
    backed_up = _BACKED_UP if durable and major >= _FIRST_WITH_SUMMARIES else {}
    options = {**_TUNING, **(_DURABLE if durable else _DISPOSABLE), **backed_up, "port": str(port)}
    return command_with(programs, data, options)


def recovery_command(programs: Path, data: Path, options: Mapping[str, str]) -> list[str]:
    """Return the command that runs a server which replays its log; `options` are in place of what it has."""
    return command_with(programs, data, {**_TUNING, **_DURABLE, **options})


def command_with(programs: Path, data: Path, options: Mapping[str, str]) -> list[str]:
    """Return the command that runs the server with these settings, whatever its files say."""
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [str(programs / "postgres"), "-D", str(data), *flags]


def _initdb(programs: Path, data: Path, account: Account | None, flags: list[str], major: int) -> None:
    # The built-in provider sorts the same on every system and for ever; before 17 there was none.
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
    command = [
        str(programs / "initdb"), "-D", str(data), "-U", OWNER, "--auth=scram-sha-256", "--encoding=UTF8",
        "--locale=C", *builtin, "--no-instructions", *flags,
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, cwd="/", timeout=300, **identity(account)
    )
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise EmbeddedServerError(f"PostgreSQL could not make its files in {data.parent}: {done.stderr.strip()}")


def _check_version(data: Path, major: int) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != str(major):
        raise EmbeddedServerError(
            f"The data in {data} was made by PostgreSQL {made_by}, the one here is {major}. "
            f"Dump it with PostgreSQL {made_by} and restore it, or set TDS_HOME to a new directory."
        )


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
        """Shut it down: connections are closed, committed data is on disk. Safe to call twice."""
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

    def state(self) -> str:
        """How the server does, in words."""
        process = self._process
        if process is None or process.poll() is not None:
            return "ended, and is being started again"
        return f"runs (process {process.pid}, {self._log})"

    def keep_running(self) -> bool:
        """Restart it at the same address if it has ended. Returns whether it had. Raises what `start` raises."""
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
        programs = embedded_unprivileged_account.programs_for(binaries.postgres_programs(), account)
        place = embedded_unprivileged_account.cluster_directory(self._directory, account)
        password = secret_of_home(self._home, "EMBEDDED_POSTGRES_PASSWORD")
        data = make_cluster(programs, place, account, password=password, durable=self._durable)
        end_leftovers(("postgres",), data, gently=signal.SIGINT)
        # No server runs there now; the number in a stale file may belong to another program and prevent the start.
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
        major = major_version(programs)
        command = server_command(programs, data, port=port, durable=self._durable, major=major)
        self._process = spawn(command, log=self._log, cwd=Path("/"), account=account, death_signal=signal.SIGINT)
        url = f"postgresql+psycopg2://{OWNER}:{password}@{LOOPBACK}:{port}/{_DATABASE}"
        wait_until_ready(self._process, self._log, lambda: _ensure_database(url), seconds=_READY_SECONDS, since=since)
        self._port = port
        return url


def _ensure_database(url: str) -> bool:
    """Whether the server responds; creates its database if it is missing."""
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
