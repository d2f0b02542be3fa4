"""Invoices: what was sold to whom; totals always follow from the lines and the payments."""

from collections.abc import Callable
from typing import Any

from zoho_sandbox.organization import Organization, fixed_id
from zoho_sandbox.records import TIME_COLUMNS, Record, Rendered, Shape, state_facet, text_key

_ROW: Rendered = {
    "invoice_id": "",
    "ach_payment_initiated": False,
    "customer_id": "",
    "customer_name": "",
    "company_name": "",
    "status": "draft",
    "type": "invoice",
    "invoice_number": "",
    "reference_number": "",
    "date": "",
    "due_date": "",
    "due_days": "",
    "schedule_time": "",
    "is_viewed_by_client": False,
    "has_attachment": False,
    "client_viewed_time": "",
    "is_emailed": False,
    "reminders_sent": 0,
    "last_reminder_sent_date": "",
    "payment_expected_date": "",
    "last_payment_date": "",
    "documents": "",
    "salesperson_id": "",
    "salesperson_name": "",
    "shipping_charge": 0.0,
    "adjustment": 0.0,
    "write_off_amount": 0.0,
    "exchange_rate": 1.0,
    "custom_fields": [],
}
_DETAIL_ONLY: Rendered = {
    "payment_terms": 15,
    "payment_terms_label": "Net 15",
    "contact_persons_associated": [],
    "discount": 0.0,
    "is_discount_before_tax": True,
    "discount_type": "item_level",
    "is_inclusive_tax": False,
    "recurring_invoice_id": "",
    "adjustment_description": "",
    "payment_reminder_enabled": True,
    "credits_applied": 0.0,
    "tax_amount_withheld": 0.0,
    "allow_partial_payments": False,
    "price_precision": 2,
    "payment_options": {"payment_gateways": []},
    "notes": "",
    "terms": "",
    "template_id": fixed_id(143),
    "template_name": "Standard",
    "attachment_name": "",
    "can_send_in_mail": True,
    "salesorder_id": "",
    "salesorders": [],
}
_LIST_ONLY = ("due_days", "documents", "company_name", "schedule_time")
_DETAIL = {key: value for key, value in _ROW.items() if key not in _LIST_ONLY} | _DETAIL_ONLY
_INNER = frozenset({"lines", "cf", "payment_made"})
_ADDRESS = {"address": "", "city": "", "state": "", "zip": "", "country": "Iraq", "fax": ""}
STATUSES = ("draft", "sent", "viewed", "overdue", "paid", "partially_paid", "void", "unpaid")


def _words(status: str) -> str:
    return status.replace("_", " ").title()


def money(amount: float) -> float:
    return round(amount + 0.0, 2)


def line_total(line: dict[str, Any]) -> float:
    """Quantity times rate less the line's discount in percent, in the invoice's currency."""
    return money(line["rate"] * line["quantity"] * (1 - line.get("discount", 0.0) / 100))


def totals(state: dict[str, Any]) -> dict[str, float]:
    """The sums of an invoice: sub_total, tax_total, total, payment_made and balance."""
    sub_total = money(sum(line_total(line) for line in state["lines"]))
    tax = money(sum(money(line_total(line) * line["tax_percentage"] / 100) for line in state["lines"]))
    total = money(sub_total + tax + state.get("shipping_charge", 0.0) + state.get("adjustment", 0.0))
    paid = money(state.get("payment_made", 0.0))
    owed = 0.0 if state.get("status") == "void" else money(total - paid)
    return {"sub_total": sub_total, "tax_total": tax, "total": total, "payment_made": paid, "balance": owed}


class _InvoiceWire:
    """Writes invoices as a list and as a detail show them."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        location_id, location_name, _primary = organization.locations[0]
        self.shared = {
            "currency_id": organization.currency_id,
            "currency_code": organization.currency_code,
            "location_id": location_id,
            "location_name": location_name,
        }

    def row(self, record: Record) -> Rendered:
        sums = totals(record.state)
        rendered = _ROW | self._own(record) | {"total": sums["total"], "balance": sums["balance"]}
        rendered |= {"updated_time": rendered["last_modified_time"], "status_formatted": _words(rendered["status"])}
        name, value = self.organization.custom_fields["invoices"].api_name, record.state.get("cf", "")
        return rendered | ({name: value, f"{name}_unformatted": value} if value else {})

    def detail(self, record: Record) -> Rendered:
        state, organization = record.state, self.organization
        sums = totals(state)
        rendered = _DETAIL | self._own(record) | sums
        rendered |= {
            "line_items": [_line(organization, line, order) for order, line in enumerate(state["lines"], 1)],
            "taxes": _taxes(organization, sums["tax_total"]),
            "status_formatted": _words(state["status"]),
            "total_formatted": f"{organization.currency_code} {sums['total']:,.2f}",
            "billing_address": _ADDRESS,
            "shipping_address": _ADDRESS,
        }
        return rendered | organization.custom_parts("invoices", state.get("cf", ""))

    def _own(self, record: Record) -> Rendered:
        stamp = self.organization.clock.stamp
        own = {key: value for key, value in record.state.items() if key not in _INNER}
        return {
            **self.shared,
            **own,
            "invoice_id": record.id,
            "created_time": stamp(record.created),
            "last_modified_time": stamp(record.modified),
            "invoice_url": f"https://invoices.invalid/portal/{record.id}",
        }


def _sum_key(name: str) -> Callable[[Record], float]:
    return lambda record: totals(record.state)[name]


def invoice_shape(organization: Organization) -> Shape:
    """The shape of invoices as `organization` keeps them."""
    wire = _InvoiceWire(organization)
    texts = ("invoice_number", "customer_name", "date", "due_date")
    return Shape(
        plural="invoices",
        singular="invoice",
        noun="Invoice",
        id_key="invoice_id",
        report_name="Invoices",
        default_sort="created_time",
        default_order="D",
        columns={
            **{name: text_key(name) for name in texts},
            **{name: _sum_key(name) for name in ("total", "balance")},
            **TIME_COLUMNS,
        },
        facets={name: state_facet(name) for name in ("status", "customer_id", "invoice_number", "reference_number")},
        status_filters={f"Status.{_words(name).replace(' ', '')}": ("status", name) for name in STATUSES},
        contains={"invoice_number_contains": "invoice_number", "customer_name_contains": "customer_name"},
        search=("invoice_number", "reference_number", "customer_name"),
        render_row=wire.row,
        render_detail=wire.detail,
        rule_module=lambda _record: "invoice",
    )


def _line(organization: Organization, line: dict[str, Any], order: int) -> Rendered:
    taxed = line["tax_percentage"] > 0
    return {
        "line_item_id": line["line_item_id"],
        "item_id": line["item_id"],
        "sku": line["sku"],
        "name": line["name"],
        "description": line.get("description", ""),
        "item_order": order,
        "product_type": "goods",
        "bcy_rate": line["rate"],
        "rate": line["rate"],
        "quantity": line["quantity"],
        "unit": "pcs",
        "discount": line.get("discount", 0.0),
        "discount_amount": money(line["rate"] * line["quantity"] - line_total(line)),
        "tax_id": organization.tax_id if taxed else "",
        "tax_name": "VAT" if taxed else "",
        "tax_type": "tax",
        "tax_percentage": line["tax_percentage"],
        "item_total": line_total(line),
        "location_id": organization.locations[0][0],
        "location_name": organization.locations[0][1],
        "salesorder_item_id": "",
        "serial_numbers": [],
        "batches": [],
        "tags": [],
        "item_custom_fields": [],
    }


def _taxes(organization: Organization, amount: float) -> list[Rendered]:
    return [{"tax_id": organization.tax_id, "tax_name": "VAT (5%)", "tax_amount": amount}] if amount else []
