"""Columns: new records read side by side, so that a value many of them share is read, checked and spelled once."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tds_core.sync.candidate import ABSENT, read_value
from tds_core.sync.copying import NULL, as_exact_json, as_json, as_text
from tds_core.sync.flaws import Flaw
from tds_models.fields import LONGEST_ID, Field

Records = Sequence[Mapping[str, Any]]
#: Kinds of JSON value of which equal ones are the same; `object` is a key that is not there. 1.0 and 1.00 are two.
_SAME_IF_EQUAL = frozenset({str, int, bool, type(None), object})


@dataclass(frozen=True, slots=True)
class Column:
    """One field of many records: what stands for the value of each, and by that the value and how it is spelled."""

    keys: Sequence[Hashable]
    value_of: Mapping[Hashable, Any]
    text_of: Mapping[Hashable, str]
    told_of: Mapping[Hashable, str]
    flaw_of: Mapping[Hashable, Flaw]

    @property
    def values(self) -> Iterator[Any]:
        """The stored values."""
        return map(self.value_of.__getitem__, self.keys)

    @property
    def texts(self) -> Iterator[str]:
        """The values as COPY has them."""
        return map(self.text_of.__getitem__, self.keys)

    @property
    def told(self) -> Iterator[str]:
        """Each value's part in the history of its record, as COPY has it; empty where there is no value."""
        return map(self.told_of.__getitem__, self.keys)

    @property
    def flaws(self) -> Iterator[Flaw | None]:
        """What is wrong with each value."""
        return map(self.flaw_of.get, self.keys)


def read_column(field: Field, records: Records) -> Column:
    """`field` of `records`, of which there are some."""
    raws = [record.get(field.key, ABSENT) for record in records]
    keys = _keys(raws)
    first = dict(zip(keys, raws, strict=True))
    read = {key: _read(field, raw) for key, raw in first.items()}
    spelled = [_spell(field, value) for value, _ in read.values()]
    texts, told = (dict(zip(first, each, strict=True)) for each in zip(*spelled, strict=True))
    values = {key: value for key, (value, _) in read.items()}
    return Column(keys, values, texts, told, {key: flaw for key, (_, flaw) in read.items() if flaw})


def _read(field: Field, raw: Any) -> tuple[Any, Flaw | None]:
    if raw is ABSENT or raw is None or raw == "":
        return None, None
    if field.kind.is_text and type(raw) is str and len(raw) <= LONGEST_ID and not raw.isspace():
        return raw, None
    return read_value(field, raw)


def _keys(raws: list[Any]) -> Sequence[Hashable]:
    """What stands for each value: equal keys only where the stored values are the same."""
    kinds = set(map(type, raws))
    if len(kinds) == 1 and kinds <= _SAME_IF_EQUAL:
        return raws
    return list(zip(map(type, raws), map(str, raws), strict=True))


def _spell(field: Field, value: Any) -> tuple[str, str]:
    """The value as COPY has it, and its part of the history."""
    if value is None:
        return NULL, ""
    if field.kind.sql == "jsonb":
        told = as_exact_json(value)
        return told, f'"{field.name}":[null,{told}]'
    return as_text(value), f'"{field.name}":[null,{as_json(value)}]'
