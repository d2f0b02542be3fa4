"""A webhook rule: which change of which module is posted where, in what form, signed with what."""

from typing import Literal, get_args
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from zoho_sandbox.webhooks.signature import Ties

Module = Literal[
    "item",
    "customer",
    "vendor",
    "salesorder",
    "invoice",
    "customerpayment",
    "bill",
    "creditnote",
    "inventoryadjustment",
]
Event = Literal["created", "edited", "deleted"]
Format = Literal["default", "form", "jsonstring", "raw", "none"]
MODULES: tuple[str, ...] = get_args(Module)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule. `body` and `content_type` matter to the raw format only; `form` names what a form shall hold.

    The format `none` sends no body, so that parameters tell all; they may name the record, as `raw` does. `ties` is how
    the signature orders a parameter that comes again.
    """

    module: Module
    event: Event
    url: str
    method: Literal["POST", "PUT", "DELETE"] = "POST"
    secret: str = ""
    format: Format = "default"
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: str = ""
    form: dict[str, str] = {}
    content_type: str = "text/plain"
    ties: Ties = "value"

    def __post_init__(self) -> None:
        if self.secret and not (12 <= len(self.secret) <= 50 and self.secret.isascii() and self.secret.isalnum()):
            raise ValueError("a webhook secret has 12 to 50 letters and digits")
        if urlsplit(self.url).scheme not in {"http", "https"}:
            raise ValueError(f"not a web address: {self.url!r}")


class Target(msgspec.Struct, frozen=True):
    """Where a rule's deliveries go, worked out once."""

    scheme: str
    host: str
    path: str
    pairs: tuple[tuple[str, str], ...]


def target_of(rule: Rule) -> Target:
    """The address with the rule's query parameters added to those the URL already has."""
    parts = urlsplit(rule.url)
    pairs = (*parse_qsl(parts.query, keep_blank_values=True), *rule.query.items())
    path = parts.path or "/"
    return Target(parts.scheme, parts.netloc, f"{path}?{urlencode(pairs)}" if pairs else path, pairs)
