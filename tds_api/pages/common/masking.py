"""Masking of personal data on pages: values of fields declared personal, and the source's own record."""

import re
from collections.abc import Set
from dataclasses import replace
from typing import Any, Final

import msgspec

from tds_api.pages.common.answer import Answer
from tds_models.entities import ENTITIES

#: What stands in the place of a masked value.
MASK: Final = "•••"
#: The source's own record, as the routes of rows and of live comparison call it.
_WHOLE_RECORDS: Final = frozenset({"source_record", "record"})
#: The values of an object that names its field beside them.
_OF_NAMED_FIELD: Final = frozenset({"here", "there", "before", "after"})
_ALL_NAMES: Final = frozenset(each.name for entity in ENTITIES.values() for each in entity.fields if each.personal)
#: A member of JSON with a personal name, whole or cut off; its quotes as they are, escaped, or URL-encoded.
_PERSONAL_MEMBER: Final = re.compile(
    r"""((?P<quote>\\*"|%22)(?:NAMES)(?P=quote)(?:\s|\+|%20)*(?::|%3A)(?:\s|\+|%20)*(?P=quote))"""
    r"(?:(?!(?<!\\)(?P=quote)).)+".replace("NAMES", "|".join(sorted(_ALL_NAMES))),
    re.DOTALL | re.IGNORECASE,
)


def personal_names(entity: str) -> frozenset[str]:
    """The names under which an entity's answers hold personal data."""
    declared = ENTITIES[entity]
    fields = [*declared.fields, *(each for lines in declared.lines for each in lines.fields)]
    return frozenset(each.name for each in fields if each.personal) | _WHOLE_RECORDS


def masked(answer: Answer, names: Set[str]) -> Answer:
    """The answer with the values of `names` masked, at any depth, in its JSON as well; a refusal stays as it is."""
    return answered(answer, _masked(answer.data, names)) if answer else answer


def masked_items(answer: Answer) -> Answer:
    """A list whose items name their entity, each masked as its entity declares; a refusal stays as it is."""
    if not answer:
        return answer
    shown = [_masked(item, personal_names(item["entity"])) for item in answer.items]
    return answered(answer, {**answer.data, "items": shown})


def masked_body(body: str) -> str:
    """The text of a body that nothing is known of, with what stands under a personal name masked."""
    return _PERSONAL_MEMBER.sub(rf"\1{MASK}", body)


def answered(answer: Answer, data: Any) -> Answer:
    """The answer with other JSON."""
    return replace(answer, data=data, raw=msgspec.json.encode(data))


def _masked(value: Any, names: Set[str]) -> Any:
    if isinstance(value, dict):
        field = value.get("field")
        hidden = names | _OF_NAMED_FIELD if isinstance(field, str) and field in names else names
        return {name: _mask(each) if name in hidden else _masked(each, names) for name, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, names) for each in value]
    return value


def _mask(value: Any) -> Any:
    """The mask of a value; that there is none may be seen, and of a pair before and after which of them there is."""
    if isinstance(value, list):
        return [_mask(each) for each in value]
    return value if value in (None, "", {}) else MASK
