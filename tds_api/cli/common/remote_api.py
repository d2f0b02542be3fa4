"""A remote TDS, which commands call over HTTP when TDS_URL (or --url) names one; and the target of a sync."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from getpass import getuser
from typing import Any

import msgspec
import requests
from rich.console import Console
from sqlalchemy import Engine

from tds_api.cli.common.database import database
from tds_api.cli.common.logged_transactions import acting_on
from tds_core.config.settings import load_settings
from tds_core.errors import TdsError
from tds_core.health.health import DISPATCHER_SILENT_SECONDS, health_facts
from tds_core.sources.zoho.connection import AccessStatus, access_report
from tds_core.sync import run_queries, run_requests
from tds_core.sync.run_queries import RunDetails
from tds_core.sync.run_requests import RecordOutcome, request_sync
from tds_models.db import session_scope

#: Longer than any answer takes; a connection is made in less.
ANSWER_SECONDS, CONNECT_SECONDS = 60.0, 5.0
LARGEST_PAGE = 500


class RemoteAwayError(TdsError):
    """The TDS that TDS_URL names does not answer, or something else answers there."""

    code = "remote_unreachable"
    retriable = True


class RemoteRefusedError(TdsError):
    """The TDS that TDS_URL names refused the request; `code` is that of its problem document."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, repr=False)
class Remote:
    """A remote TDS, called with an API key. Times in its responses become datetimes, as in local results."""

    url: str
    key: str

    def get(self, path: str, **query: Any) -> Any:
        """GET a document. Empty query values are left out."""
        return self._ask("GET", path, params=_query(query))

    def page(self, path: str, *, limit: int = LARGEST_PAGE, **query: Any) -> list[dict[str, Any]]:
        """The first `limit` rows of a list."""
        rows: list[dict[str, Any]] = self.get(path, limit=limit, **query)["items"]
        return rows

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """POST a change; see `change`."""
        return self.change("POST", path, body)

    def change(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send a change with an idempotency key, so that a repeat by the network changes nothing."""
        headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
        return self._ask(method, path, data=msgspec.json.encode(body or {}), headers=headers)

    def _ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        all_headers = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        try:
            response = requests.request(
                method,
                f"{self.url}/api/tds{path}",
                headers=all_headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,  # a key is for one place
                **more,
            )
        except requests.RequestException as error:
            kind = type(error).__name__
            raise RemoteAwayError(f"{self.url} does not answer ({kind}). Check TDS_URL.") from None
        return _document_of(response)


def remote() -> Remote | None:
    """The remote TDS that the settings name; None for the one of the local database."""
    settings = load_settings()
    if not settings.url:
        return None
    settings.require("TDS_API_KEY")
    return Remote(settings.url.rstrip("/").removesuffix("/api/tds"), settings.api_key)


def _document_of(response: requests.Response) -> Any:
    is_ours = "json" in response.headers.get("Content-Type", "")
    if response.status_code == 204:
        return None
    try:
        document = msgspec.json.decode(response.content) if is_ours else None
    except msgspec.DecodeError:
        document = None
    if document is None or 300 <= response.status_code < 400:
        raise RemoteAwayError(f"{response.url} answered {response.status_code}, and not as TDS does. Check TDS_URL.")
    if response.status_code >= 400:
        raise RemoteRefusedError(str(document.get("code")), _message(document))
    return _with_times(document)


def _message(document: Mapping[str, Any]) -> str:
    errors = document.get("errors")
    arguments = f" {msgspec.json.encode(errors).decode()}" if errors else ""
    return f"{document.get('detail')}{arguments}"


def _with_times(value: Any, key: str = "") -> Any:
    """The value with times as datetimes: they are under names that end in `_at`, as everywhere in TDS."""
    if isinstance(value, dict):
        return {name: _with_times(each, key if key.endswith("_at") else name) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_times(each, key) for each in value]
    if isinstance(value, str) and (key == "at" or key.endswith("_at")):
        return datetime.fromisoformat(value)
    return value


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    spelled: Iterable[tuple[str, Any]] = query.items()
    return {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in spelled
        if value is not None and value != ""
    }


@dataclass(frozen=True, slots=True)
class LocalTarget:
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
class RemoteTarget:
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


Target = LocalTarget | RemoteTarget


@contextmanager
def target_of_settings() -> Iterator[Target]:
    """The remote TDS that TDS_URL names, or the one of the settings' database."""
    if api := remote():
        yield RemoteTarget(api)
        return
    with database() as engine:
        yield LocalTarget(engine)
