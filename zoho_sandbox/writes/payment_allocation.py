"""Payment allocation: which invoices money is set against, how much, and never more than is owed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from zoho_sandbox.api_errors import RefusalError, invalid_value
from zoho_sandbox.entities.document_common import money, totals
from zoho_sandbox.record import Record
from zoho_sandbox.world import World
from zoho_sandbox.writes import fields
from zoho_sandbox.writes.side_effects import Effects


def read_applied(
    world: World, written: Any, amount_key: str, customer_id: str, before: Iterable[Mapping[str, Any]] = ()
) -> list[tuple[Record, float]]:
    """The invoices written and the amounts for them; `before` is what was set against them already."""
    if not isinstance(written, list) or not all(isinstance(part, dict) for part in written):
        raise invalid_value("invoices")
    freed = {part["invoice_id"]: part[amount_key] for part in before}
    read = []
    for part in written:
        invoice = world.find("invoices", str(part.get("invoice_id", "")))
        amount = fields.amount("amount_applied", part.get("amount_applied", part.get("amount", 0)))
        if invoice.state["customer_id"] != customer_id:
            raise invalid_value("invoice_id")
        if amount > totals(invoice.state)["balance"] + freed.get(invoice.id, 0.0) + 0.005:
            raise RefusalError(400, 24016, "The amount entered is more than the balance due for the invoice.")
        read.append((invoice, money(amount)))
    return read


def applied_effects(parts: Iterable[Mapping[str, Any]], field: str, amount_key: str) -> Effects:
    """What the parts do to their invoices."""
    effects: Effects = Counter()
    for part in parts:
        effects["invoices", part["invoice_id"], field, 0] += part[amount_key]
    return effects
