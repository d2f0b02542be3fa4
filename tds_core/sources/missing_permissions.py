"""Missing permissions: modules and records a source refuses to this connection, each retried at growing intervals."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict, cast

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.errors import PermissionMissingError
from tds_core.quality import findings
from tds_core.quality.findings import NewFinding
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Stream
from tds_models.findings import Severity

log = structlog.get_logger(__name__)

FINDING = "permission_missing"
# First and longest wait before a refused module or record is tried again; the wait doubles with each refusal.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 60.0, 3600.0

_KNOWN = text("""
select source_id, scope, says, greatest(extract(epoch from paused_until - clock_timestamp()), 0)::float8 as left_seconds
from tds_missing_permissions where source = :source and api = :api and path = :path
  and source_id = any(array_append(cast(:ids as text[]), ''))
""")

# Refusals of several workers during one wait count once.
_RECORD = text("""
insert into tds_missing_permissions as m (source, api, path, source_id, scope, says, refused_token, paused_until)
values (:source, :api, :path, :source_id, :scope, :says, :token, clock_timestamp() + make_interval(secs => :first))
on conflict (source, api, path, source_id) do update set scope = excluded.scope, says = excluded.says,
    refused_token = excluded.refused_token,
    refusal_count = m.refusal_count + (m.paused_until <= clock_timestamp())::int,
    paused_until = case when m.paused_until > clock_timestamp() then m.paused_until else clock_timestamp()
        + make_interval(secs => least(:longest, :first * power(2, least(m.refusal_count, 20)))) end
returning extract(epoch from paused_until - clock_timestamp())::float8 as left_seconds, xmax = 0 as is_new
""")

_CLEAR = text("""
delete from tds_missing_permissions where source = :source and api = :api and path = :path
  and source_id = any(cast(:ids as text[])) returning source_id
""")
_RESOLVE = text("""
update tds_findings set resolved_at = now(), resolved_by = 'tds'
where kind = :kind and source = :source and resolved_at is null and entity = any(:entities) and subject = any(:subjects)
""")
# Items with failed attempts keep their time.
_WAKE_ITEMS = text("""
update tds_sync_queue set next_attempt_at = now(), updated_at = now()
where id in (select id from tds_sync_queue where entity = any(:entities) and lease_token is null and attempts = 0
             and waits_for is null and next_attempt_at > now() order by source_id for update skip locked)
""")
_WAKE_RUNS = text("""
update tds_sync_runs set next_attempt_at = now() where entity = any(:entities) and state in ('queued', 'running')
  and lease_token is null and waits_for is null and next_attempt_at > now()
""")
_HASTEN = text("""
update tds_missing_permissions set paused_until = clock_timestamp(), refused_token = null
where source = :source returning api, path
""")


@dataclass(frozen=True, slots=True)
class PermissionStatus:
    """Known refusals of a stream: of the module, and of records by id."""

    module: PermissionMissingError | None = None
    records: dict[str, PermissionMissingError] = field(default_factory=dict)

    def waits(self, source_id: str) -> PermissionMissingError | None:
        """The error to put a record off with; None when it may be read."""
        for known in (self.module, self.records.get(source_id)):
            if known is not None and known.after_seconds > 0:
                return known
        return None


def permission_status(session: Session, stream: Stream, source_ids: Sequence[str] = ()) -> PermissionStatus:
    """The known refusals of a stream and of `source_ids`."""
    params = {"source": stream.source, "api": stream.api, "path": stream.path, "ids": list(source_ids)}
    module, records = None, {}
    for row in session.execute(_KNOWN, params):
        error = PermissionMissingError(
            row.says,
            api=stream.api,
            path=stream.path,
            scope=row.scope,
            source_id=row.source_id,
            after_seconds=row.left_seconds,
        )
        if row.source_id:
            records[row.source_id] = error
        else:
            module = error
    return PermissionStatus(module, records)


def record_refusal(session: Session, source: str, error: PermissionMissingError) -> None:
    """Store a refusal, with a finding if it is new, and set `error.after_seconds` to the wait before the next try."""
    params = {
        "source": source,
        "api": error.api,
        "path": error.path,
        "source_id": error.source_id,
        "token": error.token,
    }
    pauses = {"first": FIRST_PAUSE_SECONDS, "longest": LONGEST_PAUSE_SECONDS}
    row = session.execute(_RECORD, {**params, **pauses, "scope": error.scope, "says": str(error)[:1000]}).one()
    error.after_seconds = row.left_seconds
    if not row.is_new:
        return
    log.warning("permission_missing", api=error.api, path=error.path, source_id=error.source_id, scope=error.scope)
    subject, detail = error.source_id or error.scope, {"news": str(error)[:500], "scope": error.scope}
    names = entities_of(source, error.api, error.path)
    findings.report_many(
        session,
        [
            NewFinding(
                kind=FINDING, severity=Severity.ERROR, source=source, entity=name, subject=subject, detail=detail
            )
            for name in names
        ],
    )


def clear_refusals(
    session: Session, stream: Stream, known: PermissionStatus, read: Collection[str], *, is_module: bool = True
) -> None:
    """Delete the refusals in `known` of records in `read`, and with `is_module` that of the module.

    Their findings are resolved, and work that waited for the module is due at once.
    """
    readable = [each for each in known.records if each in read]
    if known.module is not None and is_module:
        readable.append("")
    if not readable:
        return
    module = {"source": stream.source, "api": stream.api, "path": stream.path}
    cleared = session.execute(_CLEAR, {**module, "ids": readable}).scalars().all()
    if not cleared:
        return
    entities = entities_of(stream.source, stream.api, stream.path)
    scopes = [known.module.scope] if known.module and "" in cleared else []
    params = {"kind": FINDING, "source": stream.source, "entities": entities, "subjects": [*cleared, *scopes]}
    session.execute(_RESOLVE, params)
    log.info("permission_given", api=stream.api, path=stream.path, source_ids=[each for each in cleared if each])
    if "" in cleared:
        session.execute(_WAKE_ITEMS, {"entities": entities})
        session.execute(_WAKE_RUNS, {"entities": entities})


def retry_now(session: Session, source: str) -> list[str]:
    """Make all refused modules and records due now. Returns the modules as `api/path`."""
    modules = sorted({(row.api, row.path) for row in session.execute(_HASTEN, {"source": source})})
    entities = [each for api, path in modules for each in entities_of(source, api, path)]
    session.execute(_WAKE_ITEMS, {"entities": entities})
    session.execute(_WAKE_RUNS, {"entities": entities})
    return [f"{api}/{path}" for api, path in modules]


def entities_of(source: str, api: str, path: str) -> list[str]:
    """The names of the entities read from a module."""
    return [
        name
        for name, entity in ENTITIES.items()
        if (entity.stream.source, entity.stream.api, entity.stream.path) == (source, api, path)
    ]


_MISSING = text("""
select source, api, path, nullif(source_id, '') as source_id, scope, says, refused_at, refusal_count,
       paused_until as next_try_at
from tds_missing_permissions order by source_id <> '', source, api, path, source_id limit :limit
""")
_WAITS = text("""
select coalesce(
    (select case when refused_at is not null then refusal end from tds_source_tokens where source = :source),
    (select says from tds_missing_permissions where source = :source and api = :api and path = :path
       and source_id = any(array_append(cast(:ids as text[]), '')) order by source_id limit 1))
""")
MOST_SHOWN = 100


class MissingPermissionRow(TypedDict):
    """A refused module, or record where `source_id` is given. `says`: the refusal; `scope`: what would permit it.

    `entities`: those that wait for it.
    """

    source: str
    api: str
    path: str
    source_id: str | None
    scope: str
    says: str
    refused_at: datetime
    refusal_count: int
    next_try_at: datetime
    entities: list[str]


def missing_permissions(session: Session, *, limit: int = MOST_SHOWN) -> list[MissingPermissionRow]:
    """Refused modules, then refused records."""
    rows = [
        {**row, "entities": entities_of(row["source"], row["api"], row["path"])}
        for row in session.execute(_MISSING, {"limit": limit}).mappings()
    ]
    return cast("list[MissingPermissionRow]", rows)


def describe(row: MissingPermissionRow) -> str:
    """One row of `missing_permissions` as a line of text."""
    subject = f"{row['path']} of {row['api'].capitalize()} ({', '.join(row['entities'])})"
    if row["source_id"]:
        subject = f"record {row['source_id']} of {subject}"
    return (
        f"{subject}: add {row['scope']}; refused since {_moment(row['refused_at'])}, tried again at"
        f" {_moment(row['next_try_at'])}"
    )


def access_refusal(session: Session, entity: str, source_ids: list[str]) -> str | None:
    """The refusal for which an entity, or these records of it, cannot be read until access is granted; else None."""
    stream = ENTITIES[entity].stream
    params = {"source": stream.source, "api": stream.api, "path": stream.path, "ids": source_ids}
    refusal: str | None = session.execute(_WAITS, params).scalar()
    return refusal


def _moment(at: datetime) -> str:
    return f"{at.astimezone().replace(microsecond=0).isoformat(sep=' ')}"
