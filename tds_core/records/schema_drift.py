"""Schema drift: keys a source never showed before, kinds of value that changed, and declared keys that are gone.

TDS learns the keys of list rows during an entity's first completed pass, and those of details during their first day.
After that a new key is a finding. Each process caches the known keys, so a usual record costs one comparison.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.records.transform import KnownKeys, RecordView
from tds_models.entities.declaration import Entity
from tds_models.entities.field_values import CUSTOM_KEY, CUSTOM_PREFIX, is_nothing
from tds_models.findings import Severity

_KINDS = {str: "text", bool: "yes/no", list: "list", dict: "object"}
_NESTED = ("list", "object")

#: Keys by part of a record, each with the kind of its value; `None` where the value was empty.
Sight = dict[str, dict[str, str | None]]


def kind_of(value: Any) -> str | None:
    """The kind of a JSON value; `None` for an empty one, which a source may send in place of any kind."""
    if is_nothing(value):
        return None
    return _KINDS.get(type(value), "number")


def declared_keys(entity: Entity) -> dict[str, frozenset[str]]:
    """The keys that an entity's declaration reads: of its header, under "", and of its lines, under their name."""
    stream = entity.stream
    header = {field.key for field in entity.fields} | {stream.id_key, stream.modified_key or stream.id_key}
    return {
        "": frozenset(header | {lines.key for lines in entity.lines}),
        **{lines.name: frozenset({lines.id_key, *(field.key for field in lines.fields)}) for lines in entity.lines},
    }


def news_of(
    key: str, kind: str | None, *, known_kinds: Collection[str] | None, is_declared: bool, is_learning: bool
) -> str | None:
    """What is new about `key`: "new key", "other kind", or `None`.

    `known_kinds`: the kinds of its earlier values, `None` when the key was never seen. Nothing is new while the part is
    being learned. Sources send text, numbers and booleans for one another, so these count as one kind; lists and
    objects do not.
    """
    if is_learning or key.startswith(CUSTOM_PREFIX) or key == CUSTOM_KEY:
        return None
    if known_kinds is None:
        return "new key"
    if is_declared and kind and known_kinds and _class_of(kind) not in {_class_of(each) for each in known_kinds}:
        return "other kind"
    return None


def _class_of(kind: str) -> str:
    return kind if kind in _NESTED else "single value"


def look_at(seen: Sight, part: str, record: Mapping[str, Any]) -> None:
    """Add the keys of `record` to those seen of its part; a known kind replaces `None`."""
    keys = seen.setdefault(part, {})
    for key, value in record.items():
        keys[key] = kind_of(value) or keys.get(key)


KIND = "schema_drift"
Records = Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class KnownKeysCache:
    """The stored keys one process knows, by entity and part: those seen in this run, and the kinds of their values."""

    keys: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    kinds: dict[tuple[str, str], dict[str, set[str]]] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)

    def begin(self, entity: str, run_id: int) -> None:
        """Forget the keys of `entity` when another run begins: each run updates when a key was last seen."""
        if self.runs.get(entity) != run_id:
            self.runs[entity] = run_id
            self.keys = {place: keys for place, keys in self.keys.items() if place[0] != entity}


_memories: WeakKeyDictionary[Engine, KnownKeysCache] = WeakKeyDictionary()


def known_keys(session: Session, entity: Entity, view: RecordView, *, run_id: int | None = None) -> KnownKeys:
    """The keys this process has stored in this run; a record without other keys shows nothing new."""
    memory = _memory(session)
    if run_id is not None:
        memory.begin(entity.name, run_id)
    parts = {"": view.value, **{lines.name: f"{view.value}.{lines.name}" for lines in entity.lines}}
    return {lines: memory.keys.get((entity.name, part), frozenset()) for lines, part in parts.items()}


def notice(session: Session, entity: Entity, view: RecordView, records: Records, *, broken: Records = ()) -> None:
    """Store the keys and kinds that `records` show for the first time, and report drift as findings.

    `records`: the first one that was read, followed by those with unknown keys. Of the first one and of those in
    `broken`, which break the rules, the kinds of all values are compared as well. Call it last in a transaction: the
    cache is updated when that commits.
    """
    memory = _memory(session)
    sight = _unknown(memory, entity, view.value, records)
    for record in [*records[:1], *broken]:
        _unlike(memory, sight, (entity.name, view.value), record)
    if any(sight.values()):
        kinds = _store(session, entity, sight)
        event.listen(session, "after_commit", lambda _: _remember(memory, entity.name, kinds), once=True)


def _memory(session: Session) -> KnownKeysCache:
    return _memories.setdefault(session.get_bind().engine, KnownKeysCache())


def _unknown(memory: KnownKeysCache, entity: Entity, way: str, records: Records) -> Sight:
    """The parts of the records with keys that this process has not stored yet."""
    sight: Sight = {}
    for record in records:
        if not record.keys() <= memory.keys.get((entity.name, way), set()):
            look_at(sight, way, record)
        for lines in entity.lines:
            part = f"{way}.{lines.name}"
            known = memory.keys.get((entity.name, part), set())
            for line in record.get(lines.key, ()):
                if not line.keys() <= known:
                    look_at(sight, part, line)
    return sight


def _unlike(memory: KnownKeysCache, sight: Sight, place: tuple[str, str], record: Mapping[str, Any]) -> None:
    """Add to `sight` the keys of `record` whose values are of a new kind."""
    known = memory.kinds.get(place, {})
    for key, value in record.items():
        kind = kind_of(value)
        if kind and kind not in known.get(key, ()):
            sight.setdefault(place[1], {})[key] = kind


def _remember(memory: KnownKeysCache, entity: str, kinds: Mapping[tuple[str, str], list[str]]) -> None:
    for (part, key), known in kinds.items():
        memory.keys.setdefault((entity, part), set()).add(key)
        memory.kinds.setdefault((entity, part), {})[key] = set(known)


# Keys of lists are learned until a pass has completed; keys of details also during the day after they first came.
LEARNING = text("""
with passed as (
    select exists (select from tds_sync_runs where source = :source and entity = :entity and state = 'completed'
                   and mode in ('full', 'incremental')) as ever
)
select p.part, not passed.ever or (p.part not like 'list%' and coalesce(min(k.first_seen_at), now())
                                   > now() - interval '1 day') as is_learning
from passed cross join unnest(cast(:parts as text[])) as p(part)
left join tds_known_keys k on k.source = :source and k.entity = :entity and k.part = p.part
group by p.part, passed.ever
""")

KNOWN = text("""
select part, key, kinds from tds_known_keys where source = :source and entity = :entity and part = any(:parts)
""")

NOTE = text("""
insert into tds_known_keys as k (source, entity, part, key, kinds)
select :source, :entity, part, key, array_remove(array[kind], null)
from jsonb_to_recordset(cast(:rows as jsonb)) as r(part text, key text, kind text) order by part, key
on conflict (source, entity, part, key) do update set last_seen_at = now(),
    kinds = case when excluded.kinds <@ k.kinds then k.kinds else k.kinds || excluded.kinds end
returning part, key, kinds
""")


def _store(session: Session, entity: Entity, sight: Sight) -> dict[tuple[str, str], list[str]]:
    """Store the keys seen and report the new ones as findings. Returns all known kinds of each key."""
    params = {"source": entity.stream.source, "entity": entity.name, "parts": list(sight)}
    learning = {row.part: row.is_learning for row in session.execute(LEARNING, params)}
    before = {(row.part, row.key): row.kinds for row in session.execute(KNOWN, params)}
    seen = [(part, key, kind) for part, keys in sight.items() for key, kind in keys.items()]
    rows = [{"part": part, "key": key, "kind": kind} for part, key, kind in seen]
    noted = session.execute(NOTE, {**params, "rows": msgspec.json.encode(rows).decode()})
    kinds = {(row.part, row.key): row.kinds for row in noted}
    declared = declared_keys(entity)
    for part, key, kind in seen:
        lines = part.partition(".")[2]
        known = before.get((part, key))
        news = news_of(key, kind, known_kinds=known, is_declared=key in declared[lines], is_learning=learning[part])
        if news:
            severity = Severity.NOTE if news == "new key" else Severity.WARNING
            _report(session, entity, f"{lines}.{key}" if lines else key, severity,
                  {"news": news, "part": part, "kind": kind, "kinds_before": known})  # fmt: skip
    return kinds


def _report(session: Session, entity: Entity, subject: str, severity: Severity, detail: Mapping[str, Any]) -> None:
    findings.report(
        session, kind=KIND, severity=severity, source=entity.stream.source, entity=entity.name, subject=subject,
        detail=detail,
    )  # fmt: skip


# Declared keys that no row of the run's list had, though earlier lists did. A row that is equal byte by byte is
# skipped, and may have any of them; so only a list without skipped rows proves that a key is gone.
GONE = text("""
select k.key, k.last_seen_at from tds_known_keys k
join tds_sync_runs r on r.id = :run_id and r.skipped_count = 0 and r.fetched_count >= :least
where k.source = :source and k.entity = :entity and k.part = 'list' and k.key = any(:declared)
  and k.last_seen_at < r.started_at order by k.key
""")
# A key is reported as gone only if at least so many rows lack it.
LEAST_ROWS = 20


def look_for_gone(session: Session, entity: Entity, *, run_id: int) -> None:
    """Report declared keys that the list of a full pass does not have any more. Call it after the pass."""
    params = {
        "source": entity.stream.source,
        "entity": entity.name,
        "run_id": run_id,
        "declared": sorted(declared_keys(entity)[""] - {CUSTOM_KEY}),
        "least": LEAST_ROWS,
    }
    for row in session.execute(GONE, params):
        detail = {"news": "key gone", "part": "list", "last_seen_at": row.last_seen_at}
        _report(session, entity, row.key, Severity.WARNING, detail)
