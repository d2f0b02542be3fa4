"""The account of an embedded PostgreSQL, which refuses to run as root, and directories that account may use."""

import dataclasses
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

from tds_core.errors import EmbeddedServerError
from tds_local.embedded.home import make_directory


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """An operating system account without privileges."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Return the account for a server that refuses root; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        "PostgreSQL refuses to run as root and there is no account postgres or nobody. "
        "Run TDS as a plain user, or set TDS_DATABASE_URL."
    )


def may_use(account: Account | None, argv: list[str]) -> bool:
    """Whether a harmless command succeeds as the account, which tests every kind of permission."""
    try:
        done = subprocess.run(  # noqa: S603
            argv, check=False, capture_output=True, cwd="/", timeout=20, **identity(account)
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def may_enter(account: Account | None, directory: Path) -> bool:
    """Whether the account can reach and enter a directory through all its parents."""
    return account is None or may_use(account, ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)])


def identity(account: Account | None) -> dict[str, Any]:
    """Return subprocess's arguments that start a child as the account."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def cluster_directory(directory: Path, account: Account | None) -> Path:
    """Return a directory the account owns: inside `directory` if it can get there, else under a system directory.

    The directory outside is named by an id kept in `directory`, so that a new home never uses old data.
    """
    make_directory(directory)
    if account is None:
        return directory
    outside = directory / "place"
    if not outside.exists() and may_enter(account, directory):
        return directory
    if not outside.exists():
        outside.write_text(f"{_public_directory(account) / f'home-{uuid.uuid4().hex[:12]}'}\n")
    return make_directory(Path(outside.read_text().strip()))


def programs_for(programs: Path, account: Account | None) -> Path:
    """Return a directory of the same programs that the account may run; they are copied once if necessary."""
    if account is None or may_use(account, [str(programs / "postgres"), "--version"]):
        return programs
    package = programs.parent.parent
    stamp = hashlib.sha256(f"{programs}{(programs / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = _public_directory(account) / f"programs-{stamp}"
    if not target.exists():
        _copy(package, target)
    copied = target / package.name / programs.relative_to(package)
    if not may_use(account, [str(copied / "postgres"), "--version"]):
        raise EmbeddedServerError(
            f"The account {account.name} may not run PostgreSQL, neither in {programs} nor in {copied}. "
            "Run TDS as a plain user, or set TDS_DATABASE_URL."
        )
    return copied


def _copy(package: Path, target: Path) -> None:
    """Copy a package with the libraries beside it, completely or not at all."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    ignore = shutil.ignore_patterns("include", "*.a", "__pycache__")
    shutil.copytree(package, partial / package.name, ignore=ignore)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, partial / libraries.name)
    for path in [partial, *partial.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    try:
        partial.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(partial, ignore_errors=True)


def _public_directory(account: Account) -> Path:
    """Return a directory of root that everyone may enter and only root may change."""
    for root in (Path("/var/lib/tds"), Path(tempfile.gettempdir()) / "tds-of-root"):
        try:
            root.mkdir(mode=0o755, exist_ok=True)
            status = root.lstat()
        except OSError:
            continue
        # In a temporary directory another account may have created it first.
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022 and may_enter(account, root):
            return root
    raise EmbeddedServerError(
        f"There is no directory that the account {account.name} may enter: neither /var/lib nor the temporary one. "
        "Run TDS as a plain user, or set TDS_DATABASE_URL."
    )
