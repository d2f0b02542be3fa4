"""The backend of `tds compare`: the TDS of the settings' database, or one over HTTP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from getpass import getuser
from typing import Any, Protocol, TypedDict

from rich.console import Console

from tds_api.cli.common.logged_transactions import acting_on
from tds_api.cli.common.remote_api import LARGEST_PAGE
from tds_api.cli.common.sync_backend import LocalBackend, RemoteBackend, backend_of_settings
from tds_core.comparison import agreement_statements, comparisons, queries, repair
from tds_core.comparison.agreement_statements import SignedStatement
from tds_core.comparison.queries import ComparisonStatus, DifferenceRow
from tds_core.config.settings import load_settings
from tds_core.health.health import DISPATCHER_SILENT_SECONDS, health_facts
from tds_core.sync.run_queries import RunDetails
from tds_models.db import session_scope


class RepairPart(TypedDict):
    """What a repair does about one entity; see `tds_core.comparison.repair.EntityRepair`."""

    entity: str
    record_count: int
    source_ids: list[str]
    kept_count: int
    asked_count: int
    api_call_count: int


class RepairPrice(TypedDict):
    """A repair and its price; see `tds_core.comparison.repair.RepairPlan`."""

    comparison_id: int
    record_count: int
    api_call_count: int
    seconds: float
    parts: list[RepairPart]
    run_ids: list[int]


class ComparisonBackend(Protocol):
    """What `tds compare` asks of a TDS."""

    def request(self, entities: Sequence[str], *, sample: int, follow: bool) -> int:
        """Request a comparison. Returns its id, or that of the open one."""
        ...

    def comparison(self, comparison_id: int) -> ComparisonStatus:
        """A comparison, how far it is or what it found."""
        ...

    def differences(self, comparison_id: int, *, entity: str, state: str, limit: int) -> list[DifferenceRow]:
        """Its first differences of this state."""
        ...

    def cancel(self, comparison_id: int) -> ComparisonStatus:
        """Stop it."""
        ...

    def statement(self, number: int) -> SignedStatement:
        """A statement of agreement."""
        ...

    def repair(self, comparison_id: int, *, entity: str, include_asked: bool, dry_run: bool) -> RepairPrice:
        """What a repair would do; requested too unless `dry_run`."""
        ...

    def run(self, run_id: int) -> RunDetails:
        """The progress of a run."""
        ...

    def warn_of_silence(self, console: Console) -> None:
        """Warn if nothing runs that could compare."""
        ...

    def is_silent(self) -> bool:
        """Whether nothing runs that could compare."""
        ...

    def unconnected(self) -> str:
        """Why nothing can be read from the source; empty where it is connected."""
        ...


@dataclass(frozen=True, slots=True)
class LocalComparisons:
    """Comparisons by the database."""

    backend: LocalBackend

    def request(self, entities: Sequence[str], *, sample: int, follow: bool) -> int:
        """See `ComparisonBackend`."""
        detail = {"entities": list(entities), "sample": sample, "follow": follow}
        with acting_on(self.backend.engine, "compare", " ".join(entities) or "all", detail=detail) as session:
            return comparisons.request_comparison(
                session,
                requested_by=getuser(),
                entities=entities,
                sample_size=sample,
                follow_seconds=load_settings().comparison_follow_seconds if follow else 0.0,
            )

    def comparison(self, comparison_id: int) -> ComparisonStatus:
        """See `ComparisonBackend`."""
        with session_scope(self.backend.engine) as session:
            return queries.comparison(session, comparison_id)

    def differences(self, comparison_id: int, *, entity: str, state: str, limit: int) -> list[DifferenceRow]:
        """See `ComparisonBackend`."""
        rows: list[DifferenceRow] = []
        cursor: str | None = None
        with session_scope(self.backend.engine) as session:
            while True:
                page = queries.differences(
                    session, comparison_id, entity=entity or None, state=state, cursor=cursor, limit=limit - len(rows)
                )
                rows, cursor = rows + page.items, page.next_cursor
                if cursor is None or len(rows) >= limit:
                    return rows

    def cancel(self, comparison_id: int) -> ComparisonStatus:
        """See `ComparisonBackend`."""
        with acting_on(self.backend.engine, "compare.cancel", comparison_id) as session:
            comparisons.cancel(session, comparison_id, by=getuser())
            return queries.comparison(session, comparison_id)

    def statement(self, number: int) -> SignedStatement:
        """See `ComparisonBackend`."""
        with session_scope(self.backend.engine) as session:
            return agreement_statements.read(session, number)

    def repair(self, comparison_id: int, *, entity: str, include_asked: bool, dry_run: bool) -> RepairPrice:
        """See `ComparisonBackend`."""
        settings, of_entity = load_settings(), entity or None
        if dry_run:
            with session_scope(self.backend.engine) as session:
                plan = repair.plan(
                    session, settings, comparison_id, entity=of_entity, includes_asked=include_asked
                )  # fmt: skip
        else:
            detail = {"include_asked": include_asked}
            with acting_on(
                self.backend.engine, "compare.repair", comparison_id, entity=of_entity, detail=detail
            ) as session:
                plan = repair.plan(session, settings, comparison_id, entity=of_entity, includes_asked=include_asked)
                repair.request(session, plan, requested_by=getuser())
        return {
            "comparison_id": plan.comparison_id,
            "record_count": plan.record_count,
            "api_call_count": plan.api_call_count,
            "seconds": plan.seconds,
            "parts": [RepairPart(**asdict(part)) for part in plan.parts],
            "run_ids": plan.run_ids,
        }

    def run(self, run_id: int) -> RunDetails:
        """See `ComparisonBackend`."""
        return self.backend.run(run_id)

    def warn_of_silence(self, console: Console) -> None:
        """See `ComparisonBackend`."""
        self.backend.warn_of_silence(console)

    def is_silent(self) -> bool:
        """See `ComparisonBackend`."""
        with session_scope(self.backend.engine) as session:
            silent = health_facts(session)["dispatcher_silent_seconds"]
        return silent is None or silent > DISPATCHER_SILENT_SECONDS

    def unconnected(self) -> str:
        """See `ComparisonBackend`."""
        return self.backend.unconnected()


@dataclass(frozen=True, slots=True)
class RemoteComparisons:
    """Comparisons over HTTP."""

    backend: RemoteBackend

    def request(self, entities: Sequence[str], *, sample: int, follow: bool) -> int:
        """See `ComparisonBackend`."""
        body = {"entities": list(entities), "sample": sample, "follow": follow}
        return int(self.backend.remote.post("/statistics/compare", body)["id"])

    def comparison(self, comparison_id: int) -> ComparisonStatus:
        """See `ComparisonBackend`."""
        return _status(self.backend.remote.get(f"/statistics/compare/{comparison_id}"))

    def differences(self, comparison_id: int, *, entity: str, state: str, limit: int) -> list[DifferenceRow]:
        """See `ComparisonBackend`."""
        rows: list[Any] = []
        cursor: str | None = None
        while True:
            page = self.backend.remote.get(
                f"/statistics/compare/{comparison_id}/differences",
                entity=entity, state=state, cursor=cursor, limit=min(limit - len(rows), LARGEST_PAGE),
            )  # fmt: skip
            rows += [{**row, "since": _moment(row["since"])} for row in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None or len(rows) >= limit:
                return rows

    def cancel(self, comparison_id: int) -> ComparisonStatus:
        """See `ComparisonBackend`."""
        return _status(self.backend.remote.post(f"/statistics/compare/{comparison_id}/cancel"))

    def statement(self, number: int) -> SignedStatement:
        """See `ComparisonBackend`."""
        found = self.backend.remote.get(f"/statistics/statement/{number}")
        return SignedStatement(**{name: found[name] for name in SignedStatement.__slots__})

    def repair(self, comparison_id: int, *, entity: str, include_asked: bool, dry_run: bool) -> RepairPrice:
        """See `ComparisonBackend`."""
        body: dict[str, Any] = {"comparison_id": comparison_id, "include_asked": include_asked, "dry_run": dry_run}
        body |= {"entity": entity} if entity else {}
        plan: RepairPrice = self.backend.remote.post("/statistics/sync-differences", body)
        return plan

    def run(self, run_id: int) -> RunDetails:
        """See `ComparisonBackend`."""
        return self.backend.run(run_id)

    def warn_of_silence(self, console: Console) -> None:
        """See `ComparisonBackend`."""
        self.backend.warn_of_silence(console)

    def is_silent(self) -> bool:
        """False: a remote TDS reports its health itself."""
        return False

    def unconnected(self) -> str:
        """See `ComparisonBackend`."""
        return self.backend.unconnected()


def _status(found: dict[str, Any]) -> ComparisonStatus:
    """A comparison with its moments as datetimes, and its ids as numbers."""
    parts: list[Any] = [part | {"waits_until": _moment(part["waits_until"])} for part in found["parts"]]
    number = found["statement"]
    own: dict[str, Any] = {"id": int(found["id"]), "statement": None if number is None else int(number)}
    result: Any = {**found, **own, "parts": parts}
    status: ComparisonStatus = result
    return status


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


@contextmanager
def comparison_backend() -> Iterator[ComparisonBackend]:
    """The remote TDS that TDS_URL names, or the one of the settings' database."""
    with backend_of_settings() as backend:
        yield RemoteComparisons(backend) if isinstance(backend, RemoteBackend) else LocalComparisons(backend)
