"""The body of a delivery in the format its rule asks for, and the spoilt bodies faults ask for."""

import random
import re
from typing import Any
from urllib.parse import urlencode

import msgspec

from zoho_sandbox.webhooks.rules import Rule, Target

_PLACEHOLDER = re.compile(r"\$\{([A-Z_]+)\.([A-Z0-9_]+)\}")
# What a client needs to know the record by; everything else may be missing from a partial body.
_KEPT = ("contact_type", "name", "contact_name", "last_modified_time", "status")


class Body(msgspec.Struct, frozen=True):
    """Bytes to post, their type, and the form parameters that are signed instead of the bytes."""

    content: bytes
    content_type: str
    pairs: tuple[tuple[str, str], ...] = ()


def body_of(rule: Rule, wrapper: str, detail: bytes) -> Body:
    """The record's encoded detail as `rule` wants it. There is no event name, id or time of sending in it."""
    wrapped = b'{"' + wrapper.encode() + b'":' + detail + b"}"
    if rule.format == "none":
        return Body(b"", "")
    if rule.format == "default":
        return Body(wrapped, "application/json")
    if rule.format == "raw":
        return Body(_filled(rule.body, msgspec.json.decode(detail)).encode(), rule.content_type)
    if rule.format == "jsonstring":
        return _form((("JSONString", wrapped.decode()),))
    record = msgspec.json.decode(detail)
    if rule.form:
        return _form(tuple((key, _filled(template, record)) for key, template in rule.form.items()))
    return _form(tuple((key, _text(value)) for key, value in record.items()))


def parameters_of(rule: Rule, target: Target, detail: bytes) -> Target:
    """Where a delivery goes; without a body its parameters tell of the record, so their placeholders are filled."""
    if rule.format != "none" or not target.pairs:
        return target
    record = msgspec.json.decode(detail)
    pairs = tuple((name, _filled(value, record)) for name, value in target.pairs)
    path = f"{target.path.partition('?')[0]}?{urlencode(pairs)}"
    return msgspec.structs.replace(target, path=path, pairs=pairs)


def partial(detail: bytes, id_key: str, rng: random.Random) -> bytes:
    """The record without its lines and without a third of its other keys."""
    record: dict[str, Any] = msgspec.json.decode(detail)
    record.pop("line_items", None)
    for key in [key for key in record if key != id_key and key not in _KEPT and not key.endswith("_number")]:
        if rng.random() < 1 / 3:
            del record[key]
    return msgspec.json.encode(record)


def forged(detail: bytes) -> bytes:
    """The record with what someone would like it to say."""
    record: dict[str, Any] = msgspec.json.decode(detail)
    for key in ("rate", "total", "balance", "purchase_rate"):
        if isinstance(record.get(key), int | float):
            record[key] = round(float(record[key]) / 100, 2)
    for key in ("name", "contact_name", "reference_number"):
        if key in record:
            record[key] = "forged"
    return msgspec.json.encode(record)


def _form(pairs: tuple[tuple[str, str], ...]) -> Body:
    return Body(urlencode(pairs).encode(), "application/x-www-form-urlencoded", pairs)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _filled(template: str, record: dict[str, Any]) -> str:
    """`${INVOICE.INVOICE_ID}` and its like replaced; a name the record does not know becomes empty."""
    return _PLACEHOLDER.sub(lambda match: _text(record.get(match[2].lower(), "")), template)
