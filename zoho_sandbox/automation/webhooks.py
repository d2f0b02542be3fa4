"""A webhook as the settings API keeps it: where to call, with what secret, in which form."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from zoho_sandbox.api_errors import invalid_value
from zoho_sandbox.webhooks.rules import MODULES, Format


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A name and a value, of a header or of a parameter."""

    param_name: str
    param_value: str = ""


Parameters = tuple[Parameter, ...]


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Its fields as a caller writes and reads them; `secret` is kept and never shown again."""

    webhook_id: str
    webhook_name: str
    entity: str
    url: str
    method: Literal["POST", "PUT", "DELETE"] = "POST"
    description: str = ""
    entity_parameters: Parameters = ()
    additional_parameters: Parameters = ()
    headers: Parameters = ()
    query_parameters: Parameters = ()
    form_data: Parameters = ()
    user_defined_format_name: str = ""
    user_defined_format_value: str = ""
    body_type: str = ""
    raw_data: str = ""
    events: tuple[str, ...] = ()
    is_new_response_format: bool = False
    placeholder: str = ""
    is_hidden: bool = False
    lock_type: Literal["error", "none"] = "none"
    secret: str = ""

    @property
    def format(self) -> Format:
        """How its body is written: what it says about raw text or a form decides, else the default payload."""
        if self.raw_data:
            return "raw"
        return "form" if self.form_data or "form" in self.body_type else "default"

    def shown(self) -> dict[str, Any]:
        """The webhook as an answer carries it."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        del shown["secret"]
        return shown


_LONGEST = {
    "webhook_name": 50,
    "description": 100,
    "url": 5000,
    "raw_data": 100_000,
    "user_defined_format_name": 100_000,
}


def written_webhook(current: Mapping[str, Any], payload: Mapping[str, Any]) -> Webhook:
    """`current` changed by what a caller sent; the refusal Zoho gives names the first field that does not fit."""
    known = {name: payload[name] for name in Webhook.__struct_fields__ if name in payload and name != "webhook_id"}
    merged = {"webhook_name": "", "entity": "", "url": ""} | dict(current) | known
    for name, value in merged.items():
        if not _fits(name, value):
            raise invalid_value(name)
    try:
        return msgspec.convert(merged, Webhook)
    except msgspec.ValidationError as error:
        raise invalid_value(str(error).rpartition("$.")[2].strip("`") or "webhook") from None


def _fits(name: str, value: Any) -> bool:
    if name in _LONGEST and not (isinstance(value, str) and len(value) <= _LONGEST[name]):
        return False
    match name:
        case "webhook_name":
            return bool(value.strip())
        case "url":
            return bool(value.startswith(("http://", "https://")))
        case "entity":
            return value in MODULES
        case "secret":
            return value == "" or (isinstance(value, str) and 12 <= len(value) <= 50 and _is_alphanumeric(value))
    return True


def _is_alphanumeric(text: str) -> bool:
    return text.isascii() and text.isalnum()
