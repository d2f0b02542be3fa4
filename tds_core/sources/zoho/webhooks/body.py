"""The body of a webhook as JSON text that PostgreSQL can keep: read once, refused with a reason when it cannot.

Where in a body the record is: inside its wrapper, inside an envelope, or the body itself.
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
from tds_models.entities.base import Entity

#: Records nest about six levels; what nests deeper than this was not made by Zoho.
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
    """What a Content-Type header names, in small letters and without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def is_form(content_type: str, body: bytes) -> bool:
    """Whether the body is fields; some of Zoho's products announce a form and send JSON."""
    return media_type(content_type) == FORM and unmarked(body).lstrip()[:1] != b"{"


def unmarked(text: bytes) -> bytes:
    """Text without the byte order mark that some editors and senders put before it."""
    return text.removeprefix(_MARK)


def json_text(*, content_type: str, body: bytes, form: Sequence[tuple[bytes, bytes]] | None) -> bytes:
    """The JSON a body means: itself, its `JSONString` field, or an object of its fields.

    Raises ContentTypeError or BodyError.
    """
    if form is not None:
        return _text_of_form(form)
    kind = media_type(content_type)
    if kind not in _JSON and kind != FORM and not kind.endswith("+json"):
        raise ContentTypeError(f"Cannot read {kind[:80]!r}; send application/json or {FORM}.")
    return unmarked(body)


def _text_of_form(form: Sequence[tuple[bytes, bytes]]) -> bytes:
    try:
        fields = {unmarked(name).decode(): value.decode() for name, value in form}
    except UnicodeDecodeError:
        raise BodyError("A form field is not UTF-8.") from None
    whole = fields.get("JSONString")
    return msgspec.json.encode(fields) if whole is None else unmarked(whole.encode())


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
    if too_deep(text):
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


def too_deep(text: bytes) -> bool:
    """Whether JSON nests deeper than DEEPEST, told without parsing it.

    Pairs of brackets are struck out from the inside, one level a round; only text with brackets in its strings is
    looked at twice.
    """
    return _unstruck(text) and _unstruck(_TEXTS.sub(b"", text))


def _unstruck(text: bytes) -> bool:
    brackets = text.translate(None, _BRACKETS)
    for _ in range(DEEPEST):
        if not brackets:
            return False
        struck = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(struck) == len(brackets):
            # Nothing more to strike: unbalanced, so broken rather than deep, unless there is too much of it.
            return max(struck.count(b"["), struck.count(b"{")) > DEEPEST
        brackets = struck
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


def found_record(text: bytes, members: Members, meant: Sequence[Entity]) -> tuple[bytes, Sequence[Entity]]:
    """The record's JSON text and the entities it can belong to (several only for records told apart by a field).

    `meant` is what the sender named, empty when nothing was named. Raises RecordMissingError, EntityMismatchError,
    EntityUnclearError or UnknownWebhookEntityError.
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
        inner = _record_members.decode(raw)
        if not any(key.endswith("_id") for key in inner):
            nested = [value for value in inner.values() if _is_object(value)]
            if nested and wrapper in ("data", "payload"):  # an envelope around the wrapper
                return found_record(bytes(raw), inner, meant)
            continue
        if meant:
            return bytes(raw), _expected(wrapper, inner, meant)
        candidates = entities_named(wrapper) or _flat(inner, ())
        if not candidates:
            raise UnknownWebhookEntityError(f"TDS mirrors nothing called {wrapper[:80]!r}.")
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
