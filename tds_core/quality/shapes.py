"""The shape of records: which keys they have, of what kind their values are, and when that is news."""

from collections.abc import Collection, Mapping
from typing import Any

from tds_models.entity import Entity
from tds_models.fields import CUSTOM_KEY, CUSTOM_PREFIX, is_nothing

_KINDS = {str: "text", bool: "yes/no", list: "list", dict: "object"}
_NESTED = ("list", "object")

#: Keys by part of a record, each with the kind of its value; `None` where an empty value tells nothing.
Sight = dict[str, dict[str, str | None]]


def kind_of(value: Any) -> str | None:
    """The kind of a JSON value; `None` for no value, which a source may give in place of any kind."""
    if is_nothing(value):
        return None
    return _KINDS.get(type(value), "number")


def declared_keys(entity: Entity) -> dict[str, frozenset[str]]:
    """The keys an entity's declaration reads, of its header ("") and of each of its lines (by their name)."""
    stream = entity.stream
    header = {field.key for field in entity.fields} | {stream.id_key, stream.modified_key or stream.id_key}
    return {
        "": frozenset(header | {lines.key for lines in entity.lines}),
        **{lines.name: frozenset({lines.id_key, *(field.key for field in lines.fields)}) for lines in entity.lines},
    }


def news_of(
    key: str, kind: str | None, *, known_kinds: Collection[str] | None, is_declared: bool, is_learning: bool
) -> str | None:
    """What is new about `key`: "new key", "other kind", or nothing.

    `known_kinds`: the kinds it had before, `None` when it was never seen. While a part of the records is being learned
    nothing is new. Text, numbers and booleans stand for one another in what sources send; lists and objects do not.
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
    """Add what `record` shows to what was seen of its part; a kind that tells something replaces one that does not."""
    keys = seen.setdefault(part, {})
    for key, value in record.items():
        keys[key] = kind_of(value) or keys.get(key)
