"""The backend of `tds sync`: a TDS by its database, or a remote one over HTTP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser

from rich.console import Console
from sqlalchemy import Engine

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting_on
from tds_api.cli.common.remote_api import Remote, remote
from tds_core.config.settings import load_settings
from tds_core.health.health import DISPATCHER_SILENT_SECONDS, health_facts
from tds_core.sources.zoho.organization_connection import AccessStatus, access_report
from tds_core.sync import run_queries, run_requests
from tds_core.sync.run_queries import RunDetails
from tds_core.sync.run_requests import RecordOutcome, request_sync
from tds_models.db import session_scope


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """A TDS by its database."""

    engine: Engine

    def ask(self, entity: str, mode: str, ids: Sequence[str], *, full: bool, force: bool = False) -> int:
        """Ask for a run; returns its id."""
        detail = {"mode": mode, "full": full, "force": force}
        with acting_on(self.engine, "sync", entity, entity=entity, source_ids=ids, detail=detail) as session:
            return request_sync(
                session, entity=entity, mode=mode, ids=ids, full=full, force=force, requested_by=getuser()
            )

    def run(self, run_id: int) -> RunDetails:
        """The progress of a run."""
        with session_scope(self.engine) as session:
            return run_queries.run(session, run_id)

    def records(self, run: RunDetails) -> list[RecordOutcome]:
        """The outcomes of the records of a targeted run."""
        with session_scope(self.engine) as session:
            return run_requests.run_outcomes(session, run["id"])

    def warn_of_silence(self, console: Console) -> None:
        """Warn if no dispatcher runs."""
        with session_scope(self.engine) as session:
            silent = health_facts(session)["dispatcher_silent_seconds"]
        if silent is None or silent > DISPATCHER_SILENT_SECONDS:
            console.print("[yellow]Nothing runs that could do this now; it waits until TDS is started: tds up[/]")

    def unconnected(self) -> str:
        """Why no pass can begin, and what to do; empty where the source is connected."""
        settings = load_settings()
        with session_scope(self.engine) as session:
            found = access_report(session, settings)
        return str(found["reason"]) if found["access"] == AccessStatus.ABSENT else ""


@dataclass(frozen=True, slots=True)
class RemoteBackend:
    """A TDS over HTTP, which shows only the counts of a targeted run's records."""

    remote: Remote

    def ask(self, entity: str, mode: str, ids: Sequence[str], *, full: bool, force: bool = False) -> int:
        """Ask for a run; returns its id."""
        asked = {"ids": list(ids), "full": full, "force": force}
        body = {"mode": mode, **{name: value for name, value in asked.items() if value}}
        return int(self.remote.post(f"/sync/{entity}", body)["run_id"])

    def run(self, run_id: int) -> RunDetails:
        """The progress of a run."""
        found: RunDetails = self.remote.get(f"/runs/{run_id}")
        return found

    def records(self, run: RunDetails) -> list[RecordOutcome]:  # noqa: ARG002 (the same question as beside it)
        """Empty: only the run's counts come over HTTP."""
        return []

    def warn_of_silence(self, console: Console) -> None:
        """Nothing: a remote TDS reports its health itself."""

    def unconnected(self) -> str:
        """Why no pass can begin there, and what to do; empty where the source is connected."""
        found = self.remote.get("/health")["zoho"]
        return str(found["reason"]) if found["access"] == AccessStatus.ABSENT else ""


SyncBackend = LocalBackend | RemoteBackend


@contextmanager
def backend_of_settings() -> Iterator[SyncBackend]:
    """The remote TDS that TDS_URL names, or the one of the settings' database."""
    if api := remote():
        yield RemoteBackend(api)
        return
    with database() as engine:
        yield LocalBackend(engine)
