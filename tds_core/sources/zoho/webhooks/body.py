"""The body of a webhook: its JSON text, checked for what PostgreSQL cannot store, and the record inside it.

The record stands inside its wrapper, inside an envelope around the wrapper, or is the body itself.
"""

import json
import re
from collections.abc import Mapping, Sequence

import msgspec

from tds_core.sources.zoho.webhooks.errors import (
    BodyError,
    ContentTypeError,
    EntityMismatchError,
    EntityUnclearError,
    RecordMissingError,
    UnknownWebhookEntityError,
)
from tds_core.sources.zoho.webhooks.event_names import entities_named
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

#: Deepest nesting accepted; Zoho's records nest about six levels.
DEEPEST = 64

FORM = "application/x-www-form-urlencoded"
# A rule with a raw body may say text/plain, or nothing at all.
_JSON = frozenset({"", "application/json", "text/json", "text/plain"})
_MARK = b"\xef\xbb\xbf"
_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def media_type(content_type: str) -> str:
    """The media type in a Content-Type header, lower-case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_form(content_type: str, body: bytes) -> bool:
    """Whether the body is a form; some of Zoho's products declare a form and send JSON."""
    return media_type(content_type) == FORM and without_bom(body).lstrip()[:1] != b"{"


def without_bom(text: bytes) -> bytes:
    """Text without the byte order mark that some senders put before it."""
    return text.removeprefix(_MARK)


def json_text(*, content_type: str, body: bytes, form: Sequence[tuple[bytes, bytes]] | None) -> bytes:
    """The JSON text of a body: itself, its `JSONString` field, or an object of its form fields.

    Raises ContentTypeError or BodyError.
    """
    if form is not None:
        return _text_of_form(form)
    kind = media_type(content_type)
    if kind not in _JSON and kind != FORM and not kind.endswith("+json"):
        raise ContentTypeError(f"Cannot read {kind[:80]!r}; send application/json or {FORM}.")
    return without_bom(body)


def _text_of_form(form: Sequence[tuple[bytes, bytes]]) -> bytes:
    try:
        fields = {without_bom(name).decode(): value.decode() for name, value in form}
    except UnicodeDecodeError:
        raise BodyError("A form field is not UTF-8.") from None
    whole = fields.get("JSONString")
    return msgspec.json.encode(fields) if whole is None else without_bom(whole.encode())


def members_of(text: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, their values left as they are written.

    Raises BodyError saying what is wrong: not UTF-8, not JSON, not an object, too deep, or text PostgreSQL cannot keep.
    Numbers are left to PostgreSQL, which alone knows what it can hold.
    """
    if not text.strip():
        raise BodyError("The body is empty.")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise BodyError(f"The body is not UTF-8: byte {error.start} cannot be read.") from None
    if is_too_deep(text):
        raise BodyError(f"The body nests deeper than {DEEPEST} levels.")
    if b"\x00" in text or (b"\\u0000" in text and _NUL.search(text)):
        raise BodyError("The body contains a NUL character, which PostgreSQL cannot store.")
    try:
        return _members.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(_what_is_wrong(text, error)) from None


def _what_is_wrong(text: bytes, error: Exception) -> str:
    if isinstance(error, msgspec.ValidationError):
        return "The body is JSON, but not an object."
    if _SURROGATE.search(text):
        try:
            json.dumps(json.loads(text), ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "The body contains half a character (a lone surrogate), which PostgreSQL cannot store."
        except ValueError:
            pass
    return f"The body is not JSON: {str(error).removeprefix('JSON is malformed: ')}."


def is_too_deep(text: bytes) -> bool:
    """Whether JSON nests deeper than DEEPEST, without parsing it.

    Pairs of brackets are removed from the inside, one level a round; brackets in strings cost a second look.
    """
    return _has_deep_brackets(text) and _has_deep_brackets(_TEXTS.sub(b"", text))


def _has_deep_brackets(text: bytes) -> bool:
    brackets = text.translate(None, _BRACKETS)
    for _ in range(DEEPEST):
        if not brackets:
            return False
        remaining = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(remaining) == len(brackets):
            # Unbalanced, so broken rather than deep, unless there are too many opening ones.
            return max(remaining.count(b"["), remaining.count(b"{")) > DEEPEST
        brackets = remaining
    return bool(brackets)


Members = Mapping[str, msgspec.Raw]

_record_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _by_id_key() -> dict[str, tuple[Entity, ...]]:
    found: dict[str, tuple[Entity, ...]] = {}
    for entity in ENTITIES.values():
        if not entity.stream.rule_module:
            continue
        found[entity.stream.id_key] = (*found.get(entity.stream.id_key, ()), entity)
    return found


_BY_ID_KEY = _by_id_key()


def find_record(text: bytes, members: Members, expected: Sequence[Entity]) -> tuple[bytes, Sequence[Entity]]:
    """The record's JSON text and the entities it can belong to (several only where a field of it decides).

    `expected`: the entities the sender may have named, empty if it named none.
    Raises RecordMissingError, EntityMismatchError, EntityUnclearError or UnknownWebhookEntityError.
    """
    for entity in expected:
        for wrapper in entity.stream.wrappers:
            raw = members.get(wrapper)
            if raw is not None and _is_object(raw):
                return bytes(raw), [each for each in expected if wrapper in each.stream.wrappers]
    flat = _flat(members, expected)
    return (text, flat) if flat else _inside(members, expected)


def _flat(members: Members, expected: Sequence[Entity]) -> Sequence[Entity]:
    """The entities whose id is a member of the body, so that the body itself is the record."""
    if expected:
        return [entity for entity in expected if entity.stream.id_key in members]
    known = [key for key in members if key in _BY_ID_KEY]
    if len(known) > 1:
        raise EntityUnclearError(
            f"The body holds {' and '.join(known[:4])}: name the entity in the address, the query or X-TDS-Event."
        )
    return _BY_ID_KEY[known[0]] if known else ()


def _inside(members: Members, expected: Sequence[Entity]) -> tuple[bytes, Sequence[Entity]]:
    """The first member that is an object with an id: Zoho's wrapper of the record."""
    for wrapper, raw in members.items():
        if not _is_object(raw):
            continue
        inner = _record_members.decode(raw)
        if not any(key.endswith("_id") for key in inner):
            nested = [value for value in inner.values() if _is_object(value)]
            if nested and wrapper in ("data", "payload"):  # an envelope around the wrapper
                return find_record(bytes(raw), inner, expected)
            continue
        if expected:
            return bytes(raw), _expected(wrapper, inner, expected)
        candidates = entities_named(wrapper) or _flat(inner, ())
        if not candidates:
            raise UnknownWebhookEntityError(f"TDS mirrors nothing called {wrapper[:80]!r}.")
        return bytes(raw), candidates
    raise RecordMissingError("The body holds no record: no object with an id, and no id of its own.")


def _expected(wrapper: str, inner: Members, expected: Sequence[Entity]) -> Sequence[Entity]:
    others = entities_named(wrapper)
    shared = [entity for entity in expected if entity in others]
    fitting = shared or ([] if others else [entity for entity in expected if entity.stream.id_key in inner])
    if not fitting:
        raise EntityMismatchError(f"Announced was {expected[0].name}, but the body holds {wrapper[:80]!r}.")
    return fitting


def _is_object(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"{"
