"""Bodies: refused deliveries, quarantined events and kept answers, whose bytes are dropped whole."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.erasure.scrub import MARK, variants_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A column of bytes; `drop` empties it. `of_record`: rows name the record they say they are about."""

    table: str
    column: str
    shown: str
    drop: str
    of_record: bool = False


BODIES: Final = (
    Body(
        table="tds_rejected_deliveries", column="body_start", shown="id", of_record=True,
        drop="update tds_rejected_deliveries set body_start = '', headers = '{}', path = split_part(path, '?', 1)",
    ),
    Body(
        table="tds_inbox_events", column="raw", shown="id",
        drop=f"update tds_inbox_events set raw = convert_to('{MARK}', 'UTF8')",
    ),
    Body(table="tds_kept_answers", column="body", shown="caller", drop="delete from tds_kept_answers"),
)  # fmt: skip


def find_bodies(
    session: Session, body: Body, records: Mapping[str, Sequence[str]], values: Collection[str]
) -> tuple[int, list[int]]:
    """How many rows hold a body to drop, and the ids of the first of them."""
    statement = text(f"select {body.shown} from {body.table} where {_condition(body)} order by 1")
    rows = session.execute(statement, _params(records, values)).scalars().all()
    return len(rows), list(rows[:20]) if body.shown == "id" else []


def drop_bodies(session: Session, body: Body, records: Mapping[str, Sequence[str]], values: Collection[str]) -> None:
    """Drop those bodies."""
    session.execute(text(f"{body.drop} where {_condition(body)}"), _params(records, values))


def _condition(body: Body) -> str:
    found = (
        f"exists (select from unnest(cast(:values as text[])) v (value)"
        f" where position(convert_to(v.value, 'UTF8') in {body.column}) > 0)"
    )
    if not body.of_record:
        return f"{body.column} is not null and {found}"
    about = "(entity, source_id) in (select * from unnest(cast(:entities as text[]), cast(:ids as text[])))"
    return f"({about} or {found}) and {body.column} <> ''"


def _params(records: Mapping[str, Sequence[str]], values: Collection[str]) -> dict[str, Any]:
    pairs = [(entity, source_id) for entity, ids in records.items() for source_id in ids]
    cased = {spelled for value in values for spelled in (value, value.lower(), value.upper(), value.title())}
    return {
        "entities": [entity for entity, _ in pairs], "ids": [source_id for _, source_id in pairs],
        "values": variants_of(cased),
    }  # fmt: skip
