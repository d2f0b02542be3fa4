"""The story told: the steps of a record, the work it is still owed, and the verdict on top."""

import dataclasses
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.reading.paging import Row
from tds_core.reading.story.kinds import KINDS, OF_RECORD
from tds_core.reading.story.steps import Asked, steps
from tds_core.reading.story.verdict import Standing, judge
from tds_core.sync.asking import AskedWrongError
from tds_models.entity import Entity

_WORK = text("""
select priority, origin, must_read, attempts, snoozes, crashes, next_attempt_at, leased_by, leased_until, last_error,
       created_at, correlation_id
from tds_sync_queue where source = :source and entity = :entity and source_id = :id
""")
_ROW = (
    "select changed_at, confirmed_at, deleted_at, {1} as whole_at from {0} where source = :source and source_id = :id"
)
_LETTER = text(f"""
select d.id, d.error_class, d.error, d.last_dead_at from tds_dead_letter_queue d
where {OF_RECORD.format("d")} and d.resolved_at is null order by d.id desc limit 1
""")
_REFUSED = text("""
select received_at, reason from tds_rejected_deliveries where entity = :entity and source_id = :id
order by id desc limit 1
""")
_PASSED = text("""
select mode, started_at from tds_sync_runs
where source = :source and entity = :entity and mode in ('full', 'incremental') and state = 'completed'
  and started_at is not null and requested_at > now() - interval '7 days'
order by requested_at desc limit 1
""")
_CHANGE = next(kind for kind in KINDS if kind.name == "change").sql
_NEWEST = text(f"{_CHANGE} order by c.version desc limit 1")
_NEWEST_OF_FIELD = text(f"{_CHANGE} and c.changes ? :field order by c.version desc limit 1")


def explain(session: Session, entity: Entity, source_id: str, asked: Asked | None = None) -> dict[str, Any]:
    """How a record stands and why: verdict, the newest steps in the order of time, and the work it is still owed.

    Raises AskedWrongError for a field it does not have, and InvalidCursorError.
    """
    asked = asked or Asked()
    key = _key_of(entity, asked.field) if asked.field else None
    named = {"source": entity.stream.source, "entity": entity.name, "id": source_id}
    page = steps(session, entity, source_id, asked)
    owed = _first(session, _WORK, named)
    setting = _first(session, _NEWEST_OF_FIELD, {**named, "field": asked.field}) if asked.field else None
    standing = Standing(
        entity=entity.name, source_id=source_id, owed=owed, field=asked.field, origin_key=key, setting=setting,
        row=_first(session, text(_ROW.format(entity.table.fullname, _whole_at(entity))), named),
        letter=_first(session, _LETTER, named), refused=_first(session, _REFUSED, named),
        passed=_first(session, _PASSED, named), change=_first(session, _NEWEST, named),
        value=_value_of(setting, asked.field) if setting and asked.field else None,
    )  # fmt: skip
    return {
        "entity": entity.name,
        "source_id": source_id,
        "verdict": dataclasses.asdict(judge(standing)),
        "steps": page.items,
        "next_cursor": page.next_cursor,
        "owed": owed,
    }


def _whole_at(entity: Entity) -> str:
    """Since when the row is known to be all the source says, where its lists say less."""
    return "lines_confirmed_at" if entity.header_first else "confirmed_at"


def _first(session: Session, statement: Any, given: dict[str, Any]) -> Row | None:
    row = session.execute(statement, given).mappings().first()
    return None if row is None else dict(row)


def _key_of(entity: Entity, field: str) -> str:
    """What Zoho calls a field or lines. Raises AskedWrongError naming those there are."""
    keys = {each.name: each.key for each in entity.fields} | {each.name: each.key for each in entity.lines}
    if field not in keys:
        raise AskedWrongError(f"A {entity.name} has no field {field[:80]!r}. It has: {', '.join(keys)}.")
    return keys[field]


def _value_of(setting: Row, field: str) -> str:
    """A value as it is kept, short enough for a sentence."""
    after = msgspec.json.decode(setting["changes"], type=dict[str, tuple[msgspec.Raw, msgspec.Raw]])[field][1]
    spelled = bytes(after).decode()
    if spelled.startswith("["):
        return f"{len(msgspec.json.decode(spelled))} lines"
    plain = "nothing" if spelled == "null" else spelled.strip('"')
    return plain if len(plain) <= 60 else f"{plain[:60]}…"
