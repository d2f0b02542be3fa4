"""What a source does not let us read: module or record, the scope to add, since when and when it is tried again."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.sync.permissions import entities_of
from tds_models.entities import ENTITIES

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


def missing_permissions(session: Session, *, limit: int = MOST_SHOWN) -> list[dict[str, Any]]:
    """Modules that may not be read, then records of others, each with the entities that wait for it."""
    return [
        {**row, "entities": entities_of(row["source"], row["api"], row["path"])}
        for row in session.execute(_MISSING, {"limit": limit}).mappings()
    ]


def told(row: dict[str, Any]) -> str:
    """One of them in a line."""
    what = f"{row['path']} of {row['api'].capitalize()} ({', '.join(row['entities'])})"
    if row["source_id"]:
        what = f"record {row['source_id']} of {what}"
    return (
        f"{what}: add {row['scope']}; refused since {_moment(row['refused_at'])}, tried again at"
        f" {_moment(row['next_try_at'])}"
    )


def waits_for_access(session: Session, entity: str, source_ids: list[str]) -> str | None:
    """Why reading an entity, or these records of it, goes on only when somebody gives access; None when it goes on."""
    stream = ENTITIES[entity].stream
    given = {"source": stream.source, "api": stream.api, "path": stream.path, "ids": source_ids}
    found: str | None = session.execute(_WAITS, given).scalar()
    return found


def _moment(at: Any) -> str:
    return f"{at.astimezone().replace(microsecond=0).isoformat(sep=' ')}"
