"""The signature of a webhook: HMAC-SHA256 over parameters and body with a shared secret."""

import base64
import binascii
import functools
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import unquote_to_bytes

from tds_core.sources.zoho.webhooks.errors import (
    SecretUnsetError,
    SignatureMissingError,
    SignatureWrongError,
    TooManyFieldsError,
)

#: Signs parameters and body; Zoho sends it when the webhook has a secret.
ZOHO_HEADER = "X-Zoho-Webhook-Signature"
#: Signs the raw body alone, for senders that cannot do more.
PLAIN_HEADER = "X-Zoho-Signature"

Pair = tuple[bytes, bytes]

# Sorting is the only work done before the sender is verified; a rule in Zoho has a dozen parameters.
MOST_FIELDS = 1000

_MOST_JOINED = 4
_HEX = re.compile(r"[0-9a-fA-F]{64}")


def pairs_of(encoded: bytes) -> list[Pair]:
    """The decoded names and values of a query string or a form, in their order.

    Raises TooManyFieldsError beyond what any rule in Zoho can hold.
    """
    if not encoded:
        return []
    if encoded.count(b"&") >= MOST_FIELDS:
        raise TooManyFieldsError(f"The request has more than {MOST_FIELDS} fields.")
    split = (part.partition(b"=") for part in encoded.split(b"&") if part)
    return [(_decoded(name), _decoded(value)) for name, _, value in split]


def _decoded(part: bytes) -> bytes:
    return unquote_to_bytes(part.replace(b"+", b" "))


def signed_text(*, body: bytes, query: Sequence[Pair], form: Sequence[Pair] | None) -> bytes:
    """The text Zoho signs: all parameters sorted by name, names and values concatenated, then the body unless a form.

    Parameters of one name keep the order in which they were sent.
    """
    if not query and form is None:
        return body
    return _concatenate(sorted((*query, *(form or ())), key=_name)) + (body if form is None else b"")


def signed_texts(*, body: bytes, query: Sequence[Pair], form: Sequence[Pair] | None) -> Iterator[bytes]:
    """Every text Zoho may have signed, each once and the likeliest first.

    Its rule says "sorted by name" and no more. Where that leaves a choice, each plausible reading counts: names sorted
    by their bytes or regardless of case; a name that comes again in the order sent (the address before the body, or
    the body before the address), backwards, or sorted by value.
    """
    first = signed_text(body=body, query=query, form=form)
    yield first
    pairs = [*query, *(form or ())]
    if _is_plain(pairs):
        return
    seen = {first}
    for sent in (pairs, [*(form or ()), *query], pairs[::-1], sorted(pairs, key=_value)):
        for key in (_name, _folded):
            text = _concatenate(sorted(sent, key=key)) + (body if form is None else b"")
            if text not in seen:
                seen.add(text)
                yield text


def _is_plain(pairs: Sequence[Pair]) -> bool:
    """Whether "sorted by name" has one meaning: no name comes again, and case changes nothing."""
    names = [name for name, _ in pairs]
    return len({name.lower() for name in names}) == len(names) and (sorted(names) == sorted(names, key=bytes.lower))


def _concatenate(pairs: Iterable[Pair]) -> bytes:
    return b"".join(name + value for name, value in pairs)


def _name(pair: Pair) -> bytes:
    return pair[0]


def _folded(pair: Pair) -> bytes:
    return pair[0].lower()


def _value(pair: Pair) -> bytes:
    return pair[1]


def signature_of(body: bytes, secret: str) -> str:
    """What a sender without parameters puts into ZOHO_HEADER, in hex."""
    begun = _keyed(secret).copy()
    begun.update(body)
    return begun.hexdigest()


def verify(
    *,
    body: bytes,
    query: Sequence[Pair],
    form: Sequence[Pair] | None,
    headers: Mapping[str, str],
    secrets: Iterable[str],
) -> None:
    """Return if one of `secrets` signed this request; several are valid while a secret is rotated.

    `query` and `form` are decoded pairs, `form` None when the body is no form; `headers` finds names in any case.
    Takes the same time whichever byte is wrong. Raises SecretUnsetError, SignatureMissingError or SignatureWrongError.
    Source: Zoho Books, "Webhook signature"; `X-Zoho-Signature` covers the raw body alone.
    """
    live = [_keyed(secret) for secret in secrets if secret]
    if not live:
        raise SecretUnsetError("No webhook secret is set here, so no delivery can be believed.")
    zoho, plain = headers.get(ZOHO_HEADER), headers.get(PLAIN_HEADER)
    if not zoho and not plain:
        raise SignatureMissingError(f"The request carries no {ZOHO_HEADER} header.")
    proven = False
    if zoho:
        texts = signed_texts(body=body, query=query, form=form)
        proven |= any(_signs(live, text, zoho) for text in texts)
    if plain:
        proven |= _signs(live, body, plain)
    if not proven:
        raise SignatureWrongError("The signature does not fit the request and any live secret.")


@functools.lru_cache(maxsize=16)
def _keyed(secret: str) -> hmac.HMAC:
    """A signature begun with the key. Copies of it cost less than a new one, and let no other thread in between."""
    return hmac.new(secret.encode(), digestmod="sha256")


def _signs(keyed: Sequence[hmac.HMAC], text: bytes, presented: str) -> bool:
    # A proxy that doubles a header joins both by a comma.
    digests = [digest for part in presented.split(",", _MOST_JOINED)[:_MOST_JOINED] if (digest := _digest_in(part))]
    if not digests:
        return False
    proven = False
    for begun in keyed:
        signature = begun.copy()
        signature.update(text)
        for digest in digests:
            proven |= hmac.compare_digest(signature.digest(), digest)
    return proven


def _digest_in(presented: str) -> bytes | None:
    """The 32 bytes a header value spells in hex (any case, `sha256=` allowed before) or base64; None for neither."""
    value = presented.strip()
    if value[:7].lower() == "sha256=":
        value = value[7:].strip()
    if _HEX.fullmatch(value):
        return bytes.fromhex(value)
    try:
        digest = base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return digest if len(digest) == 32 else None
