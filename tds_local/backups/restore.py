"""Restore: a backup takes the place of the embedded database, or becomes a directory a given server starts from."""

import contextlib
import json
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path

from psycopg2 import sql

from tds_core.backups import catalog, store
from tds_core.config.settings import Settings
from tds_core.config.sources import SECRETS_FILE
from tds_core.errors import ConfigError, TdsError
from tds_local.backups import base_backup, recovery
from tds_local.backups.recovery import RecoveryPlan
from tds_local.backups.server import connected
from tds_local.backups.step_log import StepLog
from tds_local.embedded.home import Ownership, secret_of_home, write_private
from tds_local.embedded.postgres import OWNER
from tds_local.embedded.unprivileged_account import Account, cluster_directory, unprivileged_account
from tds_models.db import make_engine, session_scope


class WouldOverwriteError(TdsError):
    """There is something where the restored files would go."""

    code = "would_overwrite"


def restore_embedded(
    settings: Settings, restoring: RecoveryPlan, *, overwrite: bool, without_key: bool, steps: StepLog
) -> datetime:
    """Put a backup in the place of the embedded database; returns when the newest change it holds was made.

    The database that was there is set aside, never deleted. `without_key`: the key of its secrets may be lost. Raises
    WouldOverwriteError unless `overwrite`, ConfigError, AlreadyRunningError while TDS runs, and what verification and
    recovery raise.
    """
    began, home = datetime.now(UTC), settings.home
    owner = Ownership(home / "postgres" / "owner", what="An embedded PostgreSQL")
    owner.take()
    try:
        account = unprivileged_account()
        place = cluster_directory(home / "postgres", account)
        data, new = place / "data", place / "data.restored"
        if data.exists() and not overwrite:
            raise WouldOverwriteError(
                f"There is a database in {data}. To set it aside and put the backup in its place: tds restore "
                "--overwrite. To look at the backup beside it: tds restore --drill"
            )
        if not without_key:
            _check_key(settings, restoring)
        shutil.rmtree(new, ignore_errors=True)
        reached_at = _recover(settings, restoring, new, account, began=began, steps=steps)
        if data.exists():
            data.rename(place / f"data.before-{began:%Y%m%dT%H%M%SZ}")
        new.rename(data)
    finally:
        owner.release()
    return reached_at


def _recover(
    settings: Settings, restoring: RecoveryPlan, new: Path, account: Account | None, *, began: datetime, steps: StepLog
) -> datetime:
    """Make the restored data directory, with the password and the secrets of this home, and its own row."""
    home = settings.home
    with steps.step("verify"):
        base_backup.verify(restoring.directory, restoring.chain)
    with steps.step("assemble"):
        recovery.assemble(restoring, new)
    with contextlib.ExitStack() as ends:
        with steps.step("recover") as said:
            log = home / "logs" / "restore.log"
            server = ends.enter_context(
                recovery.recovered(restoring, new, account=account, log=log, on_parts=steps.parts)
            )
            said(f"{server.segment_count} segments of the log")
        reached_at = server.reached_at or restoring.newest.ended_at
        _restore_secrets(home, restoring)
        _set_password(server.url, secret_of_home(home, "EMBEDDED_POSTGRES_PASSWORD"))
        _keep_row(server.url, restoring, began, reached_at, steps)
    return reached_at


def restore_into(restoring: RecoveryPlan, target: Path, *, steps: StepLog) -> None:
    """Make a directory from which a server of PostgreSQL's same version recovers when it is started.

    Raises WouldOverwriteError when there is something in it, and what verification raises.
    """
    if target.exists() and any(target.iterdir()):
        raise WouldOverwriteError(f"{target} is not empty. Name a new directory; TDS removes none.")
    with steps.step("verify"):
        base_backup.verify(restoring.directory, restoring.chain)
    with steps.step("assemble"):
        recovery.assemble(restoring, target)
        archive = shlex.quote(str(catalog.wal_directory(restoring.directory, restoring.newest.wal))).replace("%", "%%")
        command = f'cp {archive}/%f "%p" 2>/dev/null || cp {archive}/%f.partial "%p"'
        for history in (restoring.directory / "wal").glob("*/*.history"):
            shutil.copyfile(history, target / "pg_wal" / history.name)
        with (target / "postgresql.auto.conf").open("a") as file:
            for name, value in recovery.settings_of_recovery(restoring, command).items():
                file.write("{} = '{}'\n".format(name, value.replace("'", "''")))


def opens_with(settings: Settings, restoring: RecoveryPlan) -> bool:
    """Whether TDS_SECRET_KEY, or one it replaces, is the one the backup was taken with."""
    wanted = restoring.newest.key_id
    keys = [settings.secret_key, *filter(None, settings.secret_key_previous.split(","))]
    return not wanted or wanted in [base_backup.key_id(settings.replace("", secret_key=key.strip())) for key in keys]


def _check_key(settings: Settings, restoring: RecoveryPlan) -> None:
    """Raise ConfigError where neither settings nor backup have the key that the backup's secrets were locked with."""
    if opens_with(settings, restoring) or restoring.newest.holds_secrets:
        return
    raise ConfigError(
        f"The key that opens the secrets in backup {restoring.newest.name} is not here: put back {SECRETS_FILE} in "
        f"{settings.home}, or set TDS_SECRET_KEY (or TDS_SECRET_KEY_PREVIOUS) to it. If it is lost for good, restore "
        "with --without-key and go on as docs/secret-key.md says."
    )


def _restore_secrets(home: Path, restoring: RecoveryPlan) -> None:
    """Put back the secrets a backup holds where the home has none; a file that is there is left as it is."""
    kept = catalog.base_directory(restoring.directory) / restoring.newest.name / catalog.SECRETS_FILE
    if restoring.newest.holds_secrets and not (home / SECRETS_FILE).exists():
        write_private(home / SECRETS_FILE, json.dumps(json.loads(kept.read_text()), indent=1) + "\n")


def _set_password(url: str, password: str) -> None:
    """Let the role of the embedded server have the password this home knows."""
    with connected(url) as connection, connection.cursor() as cursor:
        statement = sql.SQL("alter role {} password {}").format(sql.Identifier(OWNER), sql.Literal(password))
        cursor.execute(statement)


def _keep_row(url: str, restoring: RecoveryPlan, began: datetime, reached_at: datetime | None, steps: StepLog) -> None:
    """Keep in the restored database that it was restored; one from before there was a table of it has no such row."""
    engine = make_engine(url, pool_size=1, application="tds-restore")
    try:
        with engine.connect() as connection:
            if connection.exec_driver_sql("select to_regclass('tds_restores')").scalar() is None:
                return
        with session_scope(engine) as session:
            store.add_restore(
                session, kind=store.RESTORE, backup=restoring.newest.name, started_at=began, target_at=restoring.to,
                reached_at=reached_at, error=None, steps=steps.done,
            )  # fmt: skip
    finally:
        engine.dispose()
