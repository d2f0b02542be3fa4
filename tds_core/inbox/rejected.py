"""Rejected deliveries, kept for diagnosis: bounded in number and size, and without their secrets."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.observability.redaction import redact

KEPT_ROWS = 10_000
KEPT_BODY_BYTES = 2048
# A sender may announce any length; the column holds so much.
LARGEST_SIZE = 2**31 - 1
_KEPT_HEADERS = 50
_KEPT_HEADER_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A delivery that failed verification, and the reason. `body_size`: the announced size if it was not read whole.

    `entity` and `source_id`: the record it claims to be about.
    """

    reason: str
    detail: str
    status: int
    path: str
    headers: Mapping[str, str]
    remote_address: str | None
    body: bytes
    body_size: int
    correlation_id: str
    entity: str | None = None
    source_id: str | None = None


# Ids only grow, so everything this far below the newest is beyond the newest KEPT_ROWS: one index look-up, usually
# one row.
KEEP = text("""
with kept as (
    insert into tds_rejected_deliveries
        (reason, detail, status, path, headers, remote_address, body_start, body_size, correlation_id,
         entity, source_id)
    values (:reason, :detail, :status, :path, cast(:headers as jsonb), :remote_address, :body_start, :body_size,
            :correlation_id, :entity, :source_id)
    returning id
), pruned as (
    delete from tds_rejected_deliveries where id <= (select id from kept) - :kept_rows
)
select id from kept
""")


def keep_rejected(session: Session, rejected: Rejection, *, kept_rows: int = KEPT_ROWS) -> int:
    """Store one rejected delivery and delete those beyond the newest `kept_rows`. Returns its id."""
    return int(
        session.execute(
            KEEP,
            {
                "reason": rejected.reason,
                "detail": rejected.detail,
                "status": rejected.status,
                "path": _storable(rejected.path)[:500],
                "headers": msgspec.json.encode(_shown(rejected.headers)).decode(),
                "remote_address": rejected.remote_address,
                "body_start": rejected.body[:KEPT_BODY_BYTES],
                "body_size": min(rejected.body_size, LARGEST_SIZE),
                "correlation_id": rejected.correlation_id,
                "entity": rejected.entity,
                "source_id": rejected.source_id,
                "kept_rows": kept_rows,
            },
        ).scalar_one()
    )


def _shown(headers: Mapping[str, str]) -> dict[str, str]:
    """The first headers, shortened, without secrets and signatures."""
    first = list(headers.items())[:_KEPT_HEADERS]
    return redact({_storable(name): _storable(value)[:_KEPT_HEADER_LENGTH] for name, value in first})


def _storable(value: str) -> str:
    """Escape what PostgreSQL cannot store: NUL, and bytes that are no character."""
    return value.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
