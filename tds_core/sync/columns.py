"""Columns: new records read side by side, so that a value many of them share is read, checked and spelled once."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tds_core.sync.candidate import ABSENT
from tds_core.sync.copying import NULL, as_json, as_text
from tds_models.fields import Field

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


def read_column(field: Field, records: Records) -> Column:
    """`field` of `records`, of which there are some. Raises `ValueError` when a value breaks the rules."""
    raws = [record.get(field.key, ABSENT) for record in records]
    keys = _keys(raws)
    first = dict(zip(keys, raws, strict=True))
    found = [_spell(field, raw) for raw in first.values()]
    values, texts, told = (dict(zip(first, each, strict=True)) for each in zip(*found, strict=True))
    return Column(keys, values, texts, told)


def _keys(raws: list[Any]) -> Sequence[Hashable]:
    """What stands for each value: equal keys only where the stored values are the same."""
    kinds = set(map(type, raws))
    if len(kinds) == 1 and kinds <= _SAME_IF_EQUAL:
        return raws
    return list(zip(map(type, raws), map(str, raws), strict=True))


def _spell(field: Field, raw: Any) -> tuple[Any, str, str]:
    """The value, as COPY has it, and its part of the history."""
    if raw is ABSENT:
        return None, NULL, ""
    value = raw if raw and type(raw) is field.kind.as_it_is else field.value_of(raw)
    if value is None:
        return None, NULL, ""
    told = as_json(value)
    return value, told if field.kind.sql == "jsonb" else as_text(value), f'"{field.name}":[null,{told}]'
