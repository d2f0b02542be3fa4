"""A PostgreSQL data directory: made once, whole or not at all, and its server's command line."""

import os
import shutil
import subprocess
from pathlib import Path

from tds_core.embedded.accounts import Account, identity
from tds_core.embedded.binaries import major_version
from tds_core.embedded.ports import LOOPBACK
from tds_core.errors import EmbeddedServerError

OWNER = "tds"

# For a small machine with a disk that seeks fast; a company that outgrows it brings its own PostgreSQL.
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
    # What went wrong and where, without records: no statement, no parameters, and no DETAIL, which quotes rows.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "password_encryption": "scram-sha-256",
}
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


def server_command(programs: Path, data: Path, *, port: int, durable: bool) -> list[str]:
    """Return the command that runs the server in the foreground."""
    options = {**_TUNING, **(_DURABLE if durable else _DISPOSABLE), "port": str(port)}
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
