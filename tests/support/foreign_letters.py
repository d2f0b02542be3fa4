"""The export of a system that lost 58 webhooks, made from a stand-in's own organisation: 52 products, 6 invoices."""

from collections.abc import Iterator
from typing import Any

import msgspec

from tests.support.standin import StandIn

ERROR = (
    "greenlet_spawn has not been called; can't call await_only() here. Was IO attempted in an unexpected place? "
    "(Background on this error at: https://sqlalche.me/e/20/xd2s)"
)
PRODUCTS, INVOICES = 52, 6


def export(standin: StandIn) -> bytes:
    """The lines of the export, the same for the same organisation."""
    return b"\n".join(msgspec.json.encode(line) for line in _lines(standin)) + b"\n"


def _lines(standin: StandIn) -> Iterator[dict[str, Any]]:
    records = [("product", "item", "items", each) for each in sorted(standin.ids("items"))[:PRODUCTS]]
    records += [("invoice", "invoice", "invoices", each) for each in sorted(standin.ids("invoices"))[:INVOICES]]
    for number, (entity, wrapper, plural, record_id) in enumerate(records, 1):
        yield {
            "id": f"3f2a-{number:04}",
            "entity": entity,
            "event": "updated" if number % 3 else "created",
            "payload": {wrapper: standin.detail(plural, record_id)},
            "error": ERROR,
            "attempts": 3,
            "failed_at": f"2026-11-{1 + number % 20:02}T08:{number % 60:02}:00Z",
        }
