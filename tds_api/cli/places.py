"""Where a sync is asked for: at the database beside this command, or at a TDS elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from typing import Any

from rich.console import Console
from sqlalchemy import Engine

from tds_api.cli.acting import acting_on
from tds_api.cli.database import database
from tds_api.cli.remote import Remote, remote
from tds_core.config import load_settings
from tds_core.reading import runs, targets
from tds_core.reading.connection import Access, connection
from tds_core.reading.health import DISPATCHER_SILENT_SECONDS, facts
from tds_core.sync.asking import ask
from tds_models.db import session_scope


@dataclass(frozen=True, slots=True)
class Here:
    """Beside the database."""

    engine: Engine

    def ask(self, entity: str, mode: str, ids: Sequence[str], *, full: bool, force: bool = False) -> int:
        """Ask for a run; returns its id."""
        detail = {"mode": mode, "full": full, "force": force}
        with acting_on(self.engine, "sync", entity, entity=entity, source_ids=ids, detail=detail) as session:
            return ask(session, entity=entity, mode=mode, ids=ids, full=full, force=force, requested_by=getuser())

    def run(self, run_id: int) -> dict[str, Any]:
        """How far a run is."""
        with session_scope(self.engine) as session:
            return runs.run(session, run_id)

    def records(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        """What became of the records of a targeted run."""
        with session_scope(self.engine) as session:
            return targets.outcomes_of(session, run["id"])

    def warn_of_silence(self, console: Console) -> None:
        """Say so when nothing runs that could do it."""
        with session_scope(self.engine) as session:
            silent = facts(session)["dispatcher_silent_seconds"]
        if silent is None or silent > DISPATCHER_SILENT_SECONDS:
            console.print("[yellow]Nothing runs that could do this now; it waits until TDS is started: tds up[/]")

    def unconnected(self) -> str:
        """Why no pass can begin, and what to do; empty where the source is connected."""
        settings = load_settings()
        with session_scope(self.engine) as session:
            found = connection(session, settings)
        return str(found["reason"]) if found["access"] == Access.ABSENT else ""


@dataclass(frozen=True, slots=True)
class There:
    """Elsewhere, over HTTP, where only the counts of a targeted run's records are told."""

    remote: Remote

    def ask(self, entity: str, mode: str, ids: Sequence[str], *, full: bool, force: bool = False) -> int:
        """Ask for a run; returns its id."""
        asked = {"ids": list(ids), "full": full, "force": force}
        body = {"mode": mode, **{name: value for name, value in asked.items() if value}}
        return int(self.remote.post(f"/sync/{entity}", body)["run_id"])

    def run(self, run_id: int) -> dict[str, Any]:
        """How far a run is."""
        found: dict[str, Any] = self.remote.get(f"/runs/{run_id}")
        return found

    def records(self, run: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: ARG002 (the same question as beside it)
        """Nothing: only the run's counts come over HTTP."""
        return []

    def warn_of_silence(self, console: Console) -> None:
        """Nothing: what runs there is told by its health."""

    def unconnected(self) -> str:
        """Why no pass can begin there, and what to do; empty where the source is connected."""
        found = self.remote.get("/health")["zoho"]
        return str(found["reason"]) if found["access"] == Access.ABSENT else ""


Place = Here | There


@contextmanager
def place_of_settings() -> Iterator[Place]:
    """The TDS elsewhere that TDS_URL names, or the one of the settings' database."""
    if there := remote():
        yield There(there)
        return
    with database() as engine:
        yield Here(engine)
