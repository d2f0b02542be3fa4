"""Where in a body the record is: inside its wrapper, inside an envelope, or the body itself."""

from collections.abc import Mapping, Sequence

import msgspec

from tds_core.sources.zoho.names import entities_named
from tds_core.sources.zoho.refusals import (
    EntityMismatchError,
    EntityUnclearError,
    RecordMissingError,
    UnknownEntityError,
)
from tds_models.entities import ENTITIES
from tds_models.entity import Entity

Members = Mapping[str, msgspec.Raw]

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _by_id_key() -> dict[str, tuple[Entity, ...]]:
    found: dict[str, tuple[Entity, ...]] = {}
    for entity in ENTITIES.values():
        if not entity.stream.rule_module:
            continue
        found[entity.stream.id_key] = (*found.get(entity.stream.id_key, ()), entity)
    return found


_BY_ID_KEY = _by_id_key()


def found_record(text: bytes, members: Members, meant: Sequence[Entity]) -> tuple[bytes, Sequence[Entity]]:
    """The record's JSON text and the entities it can belong to (several only for records told apart by a field).

    `meant` is what the sender named, empty when nothing was named. Raises RecordMissingError, EntityMismatchError,
    EntityUnclearError or UnknownEntityError.
    """
    for entity in meant:
        for wrapper in entity.stream.wrappers:
            raw = members.get(wrapper)
            if raw is not None and _is_object(raw):
                return bytes(raw), [each for each in meant if wrapper in each.stream.wrappers]
    flat = _flat(members, meant)
    return (text, flat) if flat else _inside(members, meant)


def _flat(members: Members, meant: Sequence[Entity]) -> Sequence[Entity]:
    """The entities whose id stands at the top, so that the body itself is the record."""
    if meant:
        return [entity for entity in meant if entity.stream.id_key in members]
    known = [key for key in members if key in _BY_ID_KEY]
    if len(known) > 1:
        raise EntityUnclearError(
            f"The body holds {' and '.join(known[:4])}: name the entity in the address, the query or X-TDS-Event."
        )
    return _BY_ID_KEY[known[0]] if known else ()


def _inside(members: Members, meant: Sequence[Entity]) -> tuple[bytes, Sequence[Entity]]:
    """The first top-level object that holds an id, which is how Zoho wraps its records."""
    for wrapper, raw in members.items():
        if not _is_object(raw):
            continue
        inner = _members.decode(raw)
        if not any(key.endswith("_id") for key in inner):
            nested = [value for value in inner.values() if _is_object(value)]
            if nested and wrapper in ("data", "payload"):  # an envelope around the wrapper
                return found_record(bytes(raw), inner, meant)
            continue
        if meant:
            return bytes(raw), _expected(wrapper, inner, meant)
        candidates = entities_named(wrapper) or _flat(inner, ())
        if not candidates:
            raise UnknownEntityError(f"TDS mirrors nothing called {wrapper[:80]!r}.")
        return bytes(raw), candidates
    raise RecordMissingError("The body holds no record: no object with an id, and no id of its own.")


def _expected(wrapper: str, inner: Members, meant: Sequence[Entity]) -> Sequence[Entity]:
    others = entities_named(wrapper)
    shared = [entity for entity in meant if entity in others]
    fitting = shared or ([] if others else [entity for entity in meant if entity.stream.id_key in inner])
    if not fitting:
        raise EntityMismatchError(f"Announced was {meant[0].name}, but the body holds {wrapper[:80]!r}.")
    return fitting


def _is_object(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"{"
