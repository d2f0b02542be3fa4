"""What documents have in common: how their lines are written, and the sums that follow from them."""

from collections.abc import Callable, Iterable
from typing import Any

from zoho_sandbox.entities.declaration import selected
from zoho_sandbox.organization import Organization
from zoho_sandbox.record import Record, Rendered, State

ADDRESS = {"address": "", "street2": "", "city": "", "state": "", "zip": "", "country": "Iraq", "fax": ""}
_LINE: Rendered = {
    "line_item_id": "",
    "item_id": "",
    "sku": "",
    "name": "",
    "description": "",
    "item_order": 1,
    "product_type": "goods",
    "bcy_rate": 0.0,
    "rate": 0.0,
    "quantity": 0.0,
    "unit": "pcs",
    "discount": 0.0,
    "discount_amount": 0.0,
    "tax_id": "",
    "tax_name": "",
    "tax_type": "tax",
    "tax_percentage": 0,
    "item_total": 0.0,
    "location_id": "",
    "location_name": "",
    "tags": [],
    "item_custom_fields": [],
}


def money(amount: float) -> float:
    return round(amount + 0.0, 2)


def line_total(line: dict[str, Any]) -> float:
    """Quantity times rate less the line's discount in percent, in the document's currency."""
    return money(line["rate"] * line["quantity"] * (1 - line.get("discount", 0.0) / 100))


def totals(state: State) -> dict[str, float]:
    """The sums of a document: sub_total, tax_total, total, what was paid and credited, and the balance."""
    sub_total = money(sum(line_total(line) for line in state["lines"]))
    tax = money(sum(money(line_total(line) * line["tax_percentage"] / 100) for line in state["lines"]))
    total = money(sub_total + tax + state.get("shipping_charge", 0.0) + state.get("adjustment", 0.0))
    paid, credited = money(state.get("payment_made", 0.0)), money(state.get("credits_applied", 0.0))
    owed = 0.0 if state.get("status") == "void" else money(total - paid - credited)
    sums = {"sub_total": sub_total, "tax_total": tax, "total": total, "balance": owed}
    return sums | {"payment_made": paid, "credits_applied": credited}


def sum_key(name: str) -> Callable[[Record], float]:
    """Sort key of a sum."""
    return lambda record: totals(record.state)[name]


SUM_KEYS = {name: sum_key(name) for name in ("total", "balance")}


def figures(_organization: Organization, record: Record) -> Rendered:
    """What a row and a detail say of the sums."""
    sums = totals(record.state)
    return sums | {"bcy_total": sums["total"]}


def line_parts(organization: Organization, state: State, extras: Rendered) -> Rendered:
    """The lines, each with the keys of `extras` too, and the taxes and addresses of a detail."""
    sums = totals(state)
    tax = {"tax_id": organization.tax_id, "tax_name": "VAT (5%)", "tax_amount": sums["tax_total"]}
    return {
        "line_items": [_line(organization, line, order, extras) for order, line in enumerate(state["lines"], 1)],
        "taxes": [tax] if sums["tax_total"] else [],
        "total_formatted": f"{organization.currency_code} {sums['total']:,.2f}",
        "billing_address": ADDRESS,
        "shipping_address": ADDRESS,
    }


def stands_on(party: str) -> Callable[[State], Iterable[str]]:
    """The ids a document with lines needs: whom it is for and what is on it."""
    return lambda state: {state[f"{party}_id"], *(line["item_id"] for line in state["lines"])}


def _line(organization: Organization, line: dict[str, Any], order: int, extras: Rendered) -> Rendered:
    location_id, location_name, _primary = organization.locations[line.get("location", 0)]
    taxed = line["tax_percentage"] > 0
    total = line_total(line)
    worked_out = {
        "item_order": order,
        "bcy_rate": line["rate"],
        "discount_amount": money(line["rate"] * line["quantity"] - total),
        "tax_id": organization.tax_id if taxed else "",
        "tax_name": "VAT" if taxed else "",
        "item_total": total,
        "location_id": location_id,
        "location_name": location_name,
    }
    return selected(_LINE | extras, line | worked_out)
