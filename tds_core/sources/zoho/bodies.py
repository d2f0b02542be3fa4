"""The body of a webhook as JSON text that PostgreSQL can keep: read once, refused with a reason when it cannot."""

import json
import re
from collections.abc import Sequence

import msgspec

from tds_core.sources.zoho.refusals import BodyError, ContentTypeError

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
