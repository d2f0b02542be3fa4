"""Names of entities and events as senders spell them, mapped to TDS's own."""

import re
from collections.abc import Mapping

from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

#: Spelled as workflow rules, integrators and people spell them.
EVENTS: Mapping[str, str] = {
    "created": "created",
    "create": "created",
    "added": "created",
    "add": "created",
    "updated": "updated",
    "update": "updated",
    "edited": "updated",
    "edit": "updated",
    "modified": "updated",
    "deleted": "deleted",
    "delete": "deleted",
    "removed": "deleted",
}

_SEPARATORS = re.compile(r"[\s._-]+")
_PAIR = re.compile(r"(.*)[./:_ -]([A-Za-z]+)")


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()


def _spellings(entity: Entity) -> set[str]:
    stream = entity.stream
    names = {entity.name, f"{entity.name}s"}
    if stream.rule_module:  # others send no webhooks, and may share a path with one that does
        names |= {stream.list_key, stream.record_key, stream.rule_module, *stream.wrappers}
    return {_plain(name) for name in names}


def _by_name() -> dict[str, tuple[Entity, ...]]:
    found: dict[str, tuple[Entity, ...]] = {}
    for entity in ENTITIES.values():
        for name in _spellings(entity):
            found[name] = (*found.get(name, ()), entity)
    # TDS's own name means one entity, whatever else shares the spelling.
    found.update({_plain(entity.name): (entity,) for entity in ENTITIES.values()})
    return found


_BY_NAME = _by_name()


def entities_named(name: str) -> tuple[Entity, ...]:
    """The entities a sender may mean by `name` (`item`, `products`, `contact`); empty for an unknown name."""
    return _BY_NAME.get(name) or _BY_NAME.get(_plain(name), ())


def event_named(name: str) -> str | None:
    """created, updated or deleted; None for anything else."""
    return EVENTS.get(name) or EVENTS.get(name.strip().lower())


def split_event(text: str) -> tuple[str | None, str | None]:
    """Entity and event in `item.updated`, `bill_created` or a bare `updated`, as they are spelled."""
    pair = _PAIR.fullmatch(text.strip())
    if pair is None:
        return (None, text.strip()) if text.strip() else (None, None)
    return pair[1] or None, pair[2]
