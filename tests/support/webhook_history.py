"""A history of changes and webhooks as tests want it: who changed what when, who told of it, who found it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

from tds_core.webhook_coverage import gap_findings, queries
from tds_core.webhook_coverage.measure import Measured, measure
from tds_models.db import session_scope

_ENTRY = """
insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, origin_id, correlation_id,
                             source_modified_at, recorded_at)
values ('zoho', :entity, :source_id, :version, :operation, '{}', :origin, :origin_id, :correlation_id, :modified_at,
        :found_at)
"""
_EVENT = """
insert into tds_inbox_events (source, entity, event, source_id, source_modified_at, correlation_id, received_at,
                              verdict, verdict_at)
values ('zoho', :entity, :event, :source_id, :modified_at, 'event', :received_at, :verdict, :received_at) returning id
"""
_REFUSED = """
insert into tds_rejected_deliveries (received_at, reason, detail, status, path, entity, source_id, headers, body_start,
                                     body_size, correlation_id)
values (:received_at, :reason, 'no', 401, '/', :entity, :source_id, '{}', '', 0, 'refused')
"""
_RUN = """
insert into tds_sync_runs (source, entity, mode, state, requested_by, requested_at, started_at, ended_at,
                           correlation_id)
values ('zoho', :entity, 'full', 'completed', 'test', :at, :at, :at, :correlation_id)
"""


@dataclass
class WebhookHistory:
    """What happened, written straight into the tables. Moments are minutes ago; `entity` is what it is all about."""

    engine: Engine
    entity: str = "product"
    now: datetime = field(init=False)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.rows("select now() as now")[0]["now"]

    def at(self, minutes_ago: float | None) -> datetime | None:
        return None if minutes_ago is None else self.now - timedelta(minutes=minutes_ago)

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def full_pass(self, ended: float, *, entity: str | None = None, name: str = "full") -> None:
        self.rows(_RUN, entity=entity or self.entity, at=self.at(ended), correlation_id=name)

    def begin(self, ago: float = 60 * 24 * 3, *, entity: str | None = None) -> None:
        """A full pass and the first webhook of all were so long ago."""
        self.full_pass(ago, entity=entity)
        self.rows(
            "insert into tds_webhook_coverage_position (id, first_webhook_at) values (1, :at)"
            " on conflict (id) do update set first_webhook_at = excluded.first_webhook_at",
            at=self.at(ago),
        )

    def change(
        self,
        source_id: str = "1",
        *,
        changed: float | None = 30,
        found: float = 10,
        operation: str = "updated",
        origin: str = "run",
        origin_id: int | None = None,
        name: str = "run-1",
        entity: str | None = None,
    ) -> None:
        """An entry of the history."""
        of = entity or self.entity
        version = self.versions[of, source_id] = self.versions.get((of, source_id), 0) + 1
        self.rows(
            _ENTRY, entity=of, source_id=source_id, version=version, operation=operation, origin=origin,
            origin_id=origin_id, correlation_id=name, modified_at=self.at(changed), found_at=self.at(found),
        )  # fmt: skip

    def told(self, source_id: str = "1", *, changed: float = 30, entity: str | None = None) -> None:
        """A change that a webhook brought, seconds later."""
        self.webhook(source_id, of=changed, received=changed - 0.05, verdict="applied", entity=entity)
        self.change(source_id, changed=changed, found=changed - 0.1, origin="webhook", entity=entity)

    def webhook(
        self,
        source_id: str = "1",
        *,
        of: float | None = 30,
        received: float = 29,
        event: str = "updated",
        verdict: str | None = "unchanged",
        entity: str | None = None,
    ) -> int:
        """A webhook that named the state `of` so long ago."""
        [row] = self.rows(
            _EVENT, entity=entity or self.entity, event=event, source_id=source_id, modified_at=self.at(of),
            received_at=self.at(received), verdict=verdict,
        )  # fmt: skip
        return int(row["id"])

    def refused(self, source_id: str = "1", *, received: float = 29, reason: str = "signature_wrong") -> None:
        """A delivery that was refused."""
        self.rows(_REFUSED, entity=self.entity, source_id=source_id, received_at=self.at(received), reason=reason)

    def measure(self, *, settle_seconds: float = 0, limit: int = 5000) -> list[Measured]:
        """Take steps until nothing is left; each in a transaction of its own."""
        steps: list[Measured] = []
        while not steps or steps[-1].more:
            with session_scope(self.engine) as session:
                steps.append(measure(session, settle_seconds=settle_seconds, limit=limit))
        return steps

    def counts(self) -> dict[str, int]:
        """All that was counted, by how it was announced; nothing that is zero."""
        sums = ", ".join(f"coalesce(sum({name}), 0)::int as {name.removesuffix('_count')}" for name in queries.COUNTS)
        [row] = self.rows(f"select {sums} from tds_webhook_coverage where entity = :entity", entity=self.entity)
        return {name: count for name, count in row.items() if count}

    def gaps(self) -> list[dict[str, Any]]:
        return self.rows("select * from tds_webhook_gaps order by entry_id")

    def report(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The findings that are open after a report, by kind and subject."""
        with session_scope(self.engine) as session:
            gap_findings.report_gaps(session)
        rows = self.rows("select * from tds_findings where resolved_at is null and kind = any(:kinds)",
                         kinds=list(gap_findings.KINDS))  # fmt: skip
        return {(row["kind"], row["subject"]): row for row in rows}

    def coverage(self, hours: int = 24, entity: str | None = None) -> dict[str, Any]:
        with session_scope(self.engine) as session:
            return queries.coverage(session, hours=hours, entity=entity or self.entity)
