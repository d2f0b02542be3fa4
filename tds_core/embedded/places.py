"""Where an embedded PostgreSQL keeps its files when its account may not enter the home directory or the programs."""

import hashlib
import os
import shutil
import tempfile
import uuid
from pathlib import Path

from tds_core.embedded.accounts import Account, may_enter, may_use
from tds_core.embedded.home import make_directory
from tds_core.errors import EmbeddedServerError


def place_of_cluster(directory: Path, account: Account | None) -> Path:
    """Return a directory the account owns: inside `directory` if it can get there, else under a system directory.

    The place outside carries an id kept in `directory`, so that a home made anew never meets old data.
    """
    make_directory(directory)
    if account is None:
        return directory
    outside = directory / "place"
    if not outside.exists() and may_enter(account, directory):
        return directory
    if not outside.exists():
        outside.write_text(f"{_shared_root(account) / f'home-{uuid.uuid4().hex[:12]}'}\n")
    return make_directory(Path(outside.read_text().strip()))


def programs_for(programs: Path, account: Account | None) -> Path:
    """Return a directory of the same programs that the account may run, copying them out once if it must."""
    if account is None or may_use(account, [str(programs / "postgres"), "--version"]):
        return programs
    package = programs.parent.parent
    stamp = hashlib.sha256(f"{programs}{(programs / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = _shared_root(account) / f"programs-{stamp}"
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
    """Copy a package with the libraries its programs look for beside it; complete or not at all."""
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


def _shared_root(account: Account) -> Path:
    """Return a directory of root's that everyone may enter and only root may change."""
    for root in (Path("/var/lib/tds"), Path(tempfile.gettempdir()) / "tds-of-root"):
        try:
            root.mkdir(mode=0o755, exist_ok=True)
            status = root.lstat()
        except OSError:
            continue
        # In a shared directory somebody else may have made it first: then it is not ours to trust.
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022 and may_enter(account, root):
            return root
    raise EmbeddedServerError(
        f"There is no directory that the account {account.name} may enter: neither /var/lib nor the temporary one. "
        "Run TDS as a plain user, or set TDS_DATABASE_URL."
    )
