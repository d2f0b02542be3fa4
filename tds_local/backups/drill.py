"""A drill: the newest backup is restored beside the database, brought up to date, and held against its seals and Zoho.

Nothing of the running TDS is touched; what is left of a drill is one dated row.
"""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

from tds_core.audit_trail.seal_keys import configured_keys
from tds_core.audit_trail.verify import verify_history
from tds_core.config.settings import Settings
from tds_core.errors import TdsError
from tds_core.schema import migrations
from tds_local.backups import base_backup, recovery
from tds_local.backups.recovery import RecoveryPlan
from tds_local.backups.step_log import StepLog
from tds_local.embedded.unprivileged_account import cluster_directory, unprivileged_account
from tds_models.db import make_engine, session_scope


class DrillFailedError(TdsError):
    """What was restored is not what it should be."""

    code = "drill_failed"


@dataclasses.dataclass
class DrillReport:
    """What a drill found. `reached_at`: when the newest change it holds was made; `error`: what is wrong, else None."""

    backup: str
    started_at: datetime
    reached_at: datetime | None = None
    revision: str | None = None
    seal_count: int = 0
    row_count: int = 0
    comparison: dict[str, Any] | None = None
    error: str | None = None
    steps: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def drill(settings: Settings, restoring: RecoveryPlan, *, compares: bool, steps: StepLog) -> DrillReport:
    """Restore beside, migrate, verify seals, and with `compares` read what changed since and compare with Zoho.

    A fault of what is restored is in the report; nothing of it is raised.
    """
    report = DrillReport(restoring.newest.name, datetime.now(UTC), steps=steps.done)
    account = unprivileged_account()
    place = cluster_directory(settings.home / "drill", account)
    data = place / f"data-{uuid.uuid4().hex[:8]}"
    try:
        with steps.step("verify"):
            base_backup.verify(restoring.directory, restoring.chain)
        with steps.step("assemble"):
            recovery.assemble(restoring, data)
        with contextlib.ExitStack() as ends:
            with steps.step("recover") as said:
                log = settings.home / "logs" / "restore.log"
                server = ends.enter_context(
                    recovery.recovered(restoring, data, account=account, log=log, on_parts=steps.parts)
                )
                said(f"{server.segment_count} segments of the log")
            report.reached_at = server.reached_at or restoring.newest.ended_at
            _look_through(settings, server.url, report, compares=compares, steps=steps)
    except TdsError as error:
        report.error = str(error)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return report


def _look_through(settings: Settings, url: str, report: DrillReport, *, compares: bool, steps: StepLog) -> None:
    """Everything a restored database has to stand. Raises DrillFailedError, or what a step raises."""
    with steps.step("migrate") as said:
        report.revision = migrations.upgrade(url)
        said(f"revision {report.revision}")
    with steps.step("seals") as said:
        said(_verify_seals(settings, url, report))
    if not compares:
        return
    if not settings.zoho_organization_id:
        steps.done.append({"name": "compare", "seconds": 0.0, "says": "not connected to Zoho, so not compared"})
        return
    with steps.step("compare") as said:
        said(_compare(settings, url, report))


def _verify_seals(settings: Settings, url: str, report: DrillReport) -> str:
    engine = make_engine(url, pool_size=2, application="tds-drill")
    try:
        with session_scope(engine) as session:
            keys = configured_keys(session, settings)
        with session_scope(engine) as session:
            proof = verify_history(session, keys)
    finally:
        engine.dispose()
    report.seal_count, report.row_count = proof.seal_count, proof.row_count
    if proof.break_count:
        raise DrillFailedError(
            f"The restored history breaks its seals in {proof.break_count} places: {proof.breaks[0].says}"
        )
    return f"{proof.seal_count} seals, {proof.row_count} rows"


def _compare(settings: Settings, url: str, report: DrillReport) -> str:
    """Read what changed since, and compare, in a process of its own: tasks read their settings once."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    environ |= settings.as_environ()
    # Its messages are for nobody: the workers of the running TDS have other rows.
    environ |= {"TDS_DATABASE_URL": url, "TDS_BROKER_URL": "memory://", "TDS_HOME": str(settings.home), "TDS_URL": ""}
    done = subprocess.run(
        [sys.executable, "-m", "tds_local.backups.drill_comparison"], env=environ, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise DrillFailedError(f"The comparison with Zoho failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    report.comparison = msgspec.json.decode(done.stdout.strip().splitlines()[-1])
    if report.comparison["difference_count"] or report.comparison["unproven"]:
        raise DrillFailedError(
            f"The restored mirror is not equal to Zoho: {report.comparison['difference_count']} differences, "
            f"unproven: {', '.join(report.comparison['unproven']) or 'nothing'}."
        )
    return f"equal to Zoho: {report.comparison['record_count']} records"
