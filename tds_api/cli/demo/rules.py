"""The webhook rules of the demo, as an operator would make them in Zoho, and how often their webhooks go wrong."""

from collections.abc import Iterator
from typing import Any

#: The modules that Zoho's workflow rules know; of the rest no webhook tells.
ENTITY_OF_MODULE = {
    "item": "product",
    "customer": "customer",
    "vendor": "vendor",
    "salesorder": "sales_order",
    "invoice": "invoice",
    "customerpayment": "customer_payment",
    "bill": "bill",
    "creditnote": "credit_note",
    "inventoryadjustment": "stock_adjustment",
}
EVENT_OF_RULE = {"created": "created", "edited": "updated", "deleted": "deleted"}

# Chances, each drawn anew for every change; what stale and dropped webhooks leave wrong only the hourly read can mend.
FAULTS = {
    "duplicate": 0.05,
    "reorder": 0.03,
    "stale": 0.02,
    "partial": 0.05,
    "forge": 0.02,
    "delay_seconds": [0.0, 0.3],
    "reorder_hold_seconds": 2.0,
}


def rules(webhooks_url: str, secret: str) -> Iterator[dict[str, Any]]:
    """One rule for each module and event; some with parameters, which a signature covers too."""
    for module, entity in ENTITY_OF_MODULE.items():
        for happened, event in EVENT_OF_RULE.items():
            with_parameters = module in ("customer", "invoice")
            yield {
                "module": module,
                "event": happened,
                "url": f"{webhooks_url}/{entity}/{event}",
                "secret": secret,
                "query": {"organization": "Two Rivers", "rule": f"{module} {happened}"} if with_parameters else {},
            }


def faults(drop: float) -> dict[str, Any]:
    """The faults of a demo that loses this share of its webhooks."""
    return {**FAULTS, "drop": drop}
