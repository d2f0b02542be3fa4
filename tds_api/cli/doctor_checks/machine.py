"""Checks of this machine: interpreter, packages, memory, disk, ports and secrets."""

import json
import platform
import stat
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from sqlalchemy.exc import SQLAlchemyError

from tds_api.cli.doctor_checks.result import CheckResult, database_session, doubtful, judged, well, wrong
from tds_core import secret_key
from tds_core.config.settings import Settings
from tds_core.config.sources import SECRETS_FILE, stack_of_home
from tds_core.errors import ConfigError
from tds_core.health import infrastructure
from tds_core.observability.memory_usage import used_share
from tds_local.embedded.readiness import is_free


def python() -> CheckResult:
    """Whether the interpreter is one TDS is made for."""
    wanted = metadata.metadata("tds")["Requires-Python"]
    fits = SpecifierSet(wanted).contains(platform.python_version(), prereleases=True)
    return judged("Python", fits, platform.python_version(), f"Install Python {wanted}, then: make install")


def packages() -> CheckResult:
    """Whether the installed packages are those TDS was written for."""
    required = [Requirement(each) for each in metadata.requires("tds") or []]
    needed = [each for each in required if each.marker is None or each.marker.evaluate({"extra": ""})]
    misfits = [f"{each.name} {_version(each.name) or 'is missing'}" for each in needed if not _fits(each)]
    says = f"TDS {metadata.version('tds')}, {len(needed)} packages as required"
    return judged("Packages", not misfits, ", ".join(misfits) or says, "make install")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _fits(requirement: Requirement) -> bool:
    version = _version(requirement.name)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def memory() -> CheckResult:
    """Whether there is memory left."""
    result = infrastructure.memory(used_share())
    return CheckResult("Memory", result.state, result.says, result.mend)


def disk(settings: Settings) -> CheckResult:
    """Whether there is room for logs and an embedded database."""
    result = infrastructure.disk(settings.home)
    return CheckResult("Disk", result.state, result.says, result.mend)


def ports(settings: Settings) -> Iterator[CheckResult]:
    """Whether the ports are free, or TDS has them: the stack of this very home, or an API another supervisor runs."""
    running = stack_of_home(settings.home)
    for name, host, port, variable in (
        ("Port of the API", settings.host, settings.port, "TDS_PORT"),
        ("Port of Flower", "127.0.0.1", settings.flower_port, "TDS_FLOWER_PORT"),
    ):
        if running.get(variable) == str(port):  # our own stack listens there
            yield well(name, f"{host}:{port}, in use by the running stack")
            continue
        if variable == "TDS_PORT" and _is_tds(host, port):  # as a unit of systemd or a container
            yield well(name, f"{host}:{port}, where TDS answers")
            continue
        free = is_free(port, host)
        says = f"{host}:{port} {'is free' if free else 'is taken'}"
        yield judged(name, free, says, f"ss -ltnp 'sport = :{port}' shows by whom; stop it, or set {variable}")


def _is_tds(host: str, port: int) -> bool:
    """Whether what listens there answers as an API of TDS does."""
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return bool(json.load(connection.getresponse()) == {"status": "alive"})
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()


def secrets(settings: Settings) -> CheckResult:
    """Whether there is a key to encrypt tokens with that only this account can read, and it opens what is stored."""
    path = settings.home / SECRETS_FILE
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return wrong("Secrets", f"{path} is readable by others", f"chmod 600 {path}")
    try:
        if settings.database_url:
            with database_session(settings) as session:
                source = settings.source_of("TDS_SECRET_KEY")
                secret_key.check(session, settings.secret_key, settings.secret_key_previous, source=source)
    except ConfigError as error:
        return wrong("Secrets", str(error), "Put the right key back, or: tds secret-key give-up")
    except SQLAlchemyError:
        return doubtful("Secrets", "what is stored encrypted cannot be read", "tds migrate")
    if not settings.secret_key:
        return well("Secrets", "none yet; `tds up` makes them")
    if settings.secret_key_previous:
        return doubtful("Secrets", "the key before is still accepted", "tds zoho rotate-key, then unset it")
    return well("Secrets", f"encryption key from {settings.source_of('TDS_SECRET_KEY')}")
