"""Scrubbing: puts the mark in the place of a person's values, found by their keys and by the values themselves.

A row and its history are scrubbed alike, so that history still comes to what stands in the row.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote_plus

import msgspec

from tds_models.entities.contact_common import COPIED_KEYS
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import CUSTOM, Field, Filter

#: What stands in the place of an erased value; PostgreSQL's function `tds_erase_history` knows it, too.
MARK: Final = "(erased)"
#: A shorter value is no evidence: it would be found in words that have nothing to do with the person.
LEAST_CHARACTERS: Final = 3


def variants_of(values: Collection[str]) -> list[str]:
    """The values as texts and bodies spell them, the longest first: plain, in JSON, with escapes, in forms."""
    spelled: set[str] = set()
    for value in values:
        escaped = value.encode("ascii", "backslashreplace").decode()
        spelled |= {value, msgspec.json.encode(value).decode()[1:-1], escaped, quote_plus(value)}
    return sorted(spelled, key=lambda each: (-len(each), each))


def pattern_of(values: Collection[str]) -> re.Pattern[str] | None:
    """What finds one of the values as whole words, in any case; None without values."""
    alternatives = "|".join(map(re.escape, variants_of(values)))
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)", re.IGNORECASE) if alternatives else None


@dataclass(frozen=True, slots=True)
class Scrubber:
    """How the records of one entity are scrubbed.

    `names`: keys, ours and the source's, whose whole value is erased. `kept`: of the person's own record the only keys
    that stay. `skipped`: keys whose values come from a list of the source's, so that none of them is a person's.
    """

    pattern: re.Pattern[str] | None
    names: frozenset[str] = frozenset()
    kept: frozenset[str] | None = None
    skipped: frozenset[str] = field(default=frozenset())

    def record(self, raw: Any) -> Any:
        """A record as the source sent it."""
        if self.kept is None or not isinstance(raw, dict):
            return self.value(raw)
        return {key: self.value(each, key) if key in self.kept else blank(each) for key, each in raw.items()}

    def value(self, value: Any, key: str = "") -> Any:
        """A value under `key`, or what is nested in it; what names its field beside it is of that field."""
        if key in self.names:
            return blank(value)
        if isinstance(value, dict):
            is_named = value.get("field") in self.names if isinstance(value.get("field"), str) else False
            return {
                name: blank(each) if is_named and name in ("here", "there", "before", "after")
                else self.value(each, name)
                for name, each in value.items()
            }  # fmt: skip
        if isinstance(value, list):
            return [self.value(each, key) for each in value]
        if self.pattern is None or key in self.skipped or key.endswith(("_id", "status")):
            return value
        return self._text(value)

    def _text(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.pattern.sub(MARK, value) if self.pattern else value
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        return MARK if is_number and self.pattern and self.pattern.fullmatch(str(value)) else value


def blank(value: Any) -> Any:
    """The mark in the place of every text and number; what says nothing stays."""
    if isinstance(value, dict):
        return {key: blank(each) for key, each in value.items()}
    if isinstance(value, list):
        return [blank(each) for each in value]
    return value if value is None or isinstance(value, bool) or value == "" else MARK


def is_erased_with_person(declared: Field) -> bool:
    """Whether a field of a person's own row is erased; the organisation's own fields may hold anything."""
    return declared.personal or declared.identifying or declared.kind is CUSTOM


def own_scrubber(entity: Entity, values: Collection[str]) -> Scrubber:
    """How the person's own rows and records are scrubbed: of a record only what is declared and not personal stays."""
    stream = entity.stream
    erased = [each for each in entity.fields if is_erased_with_person(each)]
    stays = {each.key for each in entity.fields if not is_erased_with_person(each)}
    keys = {stream.id_key, stream.modified_key or "", "organization_id", *([stream.kind[0]] if stream.kind else [])}
    names = frozenset({*(each.name for each in erased), *(each.key for each in erased), *COPIED_KEYS})
    return Scrubber(pattern_of(values), names, frozenset(stays | keys), _listed_names(entity.fields))


def document_scrubber(entity: Entity, values: Collection[str]) -> Scrubber:
    """How records that refer to the person are scrubbed."""
    erased = [each for each in entity.fields if each.identifying or each.personal]
    names = frozenset({*(each.name for each in erased), *(each.key for each in erased), *COPIED_KEYS})
    return Scrubber(pattern_of(values), names, None, _listed_names(entity.fields))


def _listed_names(fields: Sequence[Field]) -> frozenset[str]:
    listed = [each for each in fields if each.refers_to or each.filtered_by is Filter.VALUE]
    return frozenset({*(each.name for each in listed), *(each.key for each in listed)})
