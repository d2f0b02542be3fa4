"""Invoices: what was sold to whom; what is owed follows from the lines, the payments and the credits."""

from zoho_sandbox.entities.declaration import Declaration, status_filters
from zoho_sandbox.entities.document_common import ADDRESS, SUM_KEYS, figures, line_parts, stands_on
from zoho_sandbox.organization import Organization, fixed_id
from zoho_sandbox.record import BOOKS, Record, Rendered

STATUSES = ("draft", "sent", "viewed", "overdue", "paid", "partially_paid", "void", "unpaid")
_SHARED: Rendered = {
    "invoice_id": "",
    "ach_payment_initiated": False,
    "customer_id": "",
    "customer_name": "",
    "status": "draft",
    "status_formatted": "",
    "type": "invoice",
    "invoice_number": "",
    "reference_number": "",
    "date": "",
    "due_date": "",
    "is_viewed_by_client": False,
    "has_attachment": False,
    "client_viewed_time": "",
    "is_emailed": False,
    "reminders_sent": 0,
    "last_reminder_sent_date": "",
    "payment_expected_date": "",
    "last_payment_date": "",
    "salesperson_id": "",
    "salesperson_name": "",
    "shipping_charge": 0.0,
    "adjustment": 0.0,
    "write_off_amount": 0.0,
    "exchange_rate": 1.0,
    "custom_fields": [],
    "currency_id": "",
    "currency_code": "",
    "location_id": "",
    "location_name": "",
    "created_time": "",
    "last_modified_time": "",
    "invoice_url": "",
    "total": 0.0,
    "balance": 0.0,
    "billing_address": ADDRESS,
    "shipping_address": ADDRESS,
}
_ROW = _SHARED | {"due_days": "", "schedule_time": "", "documents": "", "updated_time": ""}
_DETAIL = _SHARED | {
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
    "sub_total": 0.0,
    "tax_total": 0.0,
    "payment_made": 0.0,
    "credits_applied": 0.0,
    "tax_amount_withheld": 0.0,
    "total_formatted": "",
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
    "line_items": [],
    "taxes": [],
}
_LINE: Rendered = {"salesorder_item_id": "", "serial_numbers": [], "batches": []}


def _values(organization: Organization, record: Record) -> Rendered:
    return figures(organization, record) | {
        "updated_time": organization.clock.stamp(record.modified),
        "invoice_url": f"https://invoices.invalid/portal/{record.id}",
    }


INVOICES = Declaration(
    plural="invoices",
    singular="invoice",
    noun="Invoice",
    report_name="Invoices",
    row=_ROW,
    detail=_DETAIL,
    values=_values,
    parts=lambda organization, record: line_parts(organization, record.state, _LINE),
    # The last one is accepted without being documented.
    sortable=(
        *("customer_name", "invoice_number", "date", "due_date", "total", "balance"),
        *("created_time", "last_modified_time"),
    ),
    keys=SUM_KEYS,
    facets=("status", "customer_id", "invoice_number", "reference_number"),
    status_filters=status_filters(*STATUSES),
    search=("invoice_number", "reference_number", "customer_name"),
    incremental=frozenset({BOOKS}),
    rule_module="invoice",
    name_key="invoice_number",
    stands_on=stands_on("customer"),
)
