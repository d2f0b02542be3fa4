"""The account an embedded PostgreSQL runs under: PostgreSQL refuses root, so root lends it another one."""

import dataclasses
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from tds_core.errors import EmbeddedServerError


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """An operating system account without privileges."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """Return the account to lend to a server that refuses root; None when this process is not root."""
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
    """Whether a harmless command succeeds as the account: the one test that no permission model escapes."""
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
