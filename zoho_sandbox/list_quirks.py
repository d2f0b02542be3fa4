"""Quirks of lists: how those of one module behave where Zoho's behaviour is unknown, or where they go wrong."""

import random
import re
from typing import Literal

import msgspec

from zoho_sandbox.collection import Entry

_PAGE_CONTEXT = re.compile(rb',"page_context":\{[^}]*\}$')
_NO_MORE, _MORE = b'"has_more_page":false', b'"has_more_page":true'


class ListSwitches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`order` by time of change: as `known` of the module, or it is obeyed, ignored or refused. `ties`: what shares a
    second stands in one order, or shuffled at every call. `endless`: more is promised for ever, behind the last page
    are empty ones or the last one again.
    """

    order: Literal["known", "obeyed", "ignored", "refused"] = "known"
    ties: Literal["steady", "shuffled"] = "steady"
    page_context: bool = True
    endless: Literal["", "empty", "repeated"] = ""


def shuffled(entries: list[Entry], start: int) -> list[Entry]:
    """The entries from `start` on, those of one key in any order."""
    return sorted(entries[start:], key=lambda entry: (entry[0], random.random()))


def ended(switches: ListSwitches, body: bytes) -> bytes:
    """A list answer with what it says of its end."""
    body = body[:-1]
    if switches.endless:
        body = body.replace(_NO_MORE, _MORE)
    if not switches.page_context:
        body = _PAGE_CONTEXT.sub(b"", body)
    return body + b"}"
