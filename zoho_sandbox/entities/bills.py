"""Bills: what vendors charge for what they delivered, with the payments made to them."""

from zoho_sandbox.entities.declaration import Declaration, status_filters
from zoho_sandbox.entities.document_common import SUM_KEYS, figures, line_parts, stands_on
from zoho_sandbox.organization import fixed_id
from zoho_sandbox.record import BOOKS, Rendered

STATUSES = ("draft", "open", "overdue", "paid", "partially_paid", "void")
_SHARED: Rendered = {
    "bill_id": "",
    "vendor_id": "",
    "vendor_name": "",
    "status": "draft",
    "status_formatted": "",
    "bill_number": "",
    "reference_number": "",
    "date": "",
    "due_date": "",
    "currency_id": "",
    "currency_code": "",
    "price_precision": 2,
    "exchange_rate": 1.0,
    "location_id": "",
    "location_name": "",
    "total": 0.0,
    "balance": 0.0,
    "attachment_name": "",
    "is_tds_applied": False,
    "created_time": "",
    "last_modified_time": "",
}
_ROW = _SHARED | {"due_days": "", "has_attachment": False, "tds_total": 0.0}
_DETAIL = _SHARED | {
    "purchaseorder_ids": [],
    "purchaseorders": [],
    "payment_terms": 15,
    "payment_terms_label": "Net 15",
    "currency_symbol": "$",
    "documents": [],
    "adjustment": 0.0,
    "adjustment_description": "",
    "is_item_level_tax_calc": False,
    "is_inclusive_tax": False,
    "sub_total": 0.0,
    "tax_total": 0.0,
    "total_formatted": "",
    "payment_made": 0.0,
    "vendor_credits_applied": 0.0,
    "payments": [],
    "vendor_credits": [],
    "line_items": [],
    "taxes": [],
    "notes": "",
    "terms": "",
    "billing_address": {},
}
_LINE: Rendered = {
    "purchaseorder_item_id": "",
    "account_id": fixed_id(35001),
    "account_name": "Inventory Asset",
    "is_billable": False,
    "customer_id": "",
}
BILLS = Declaration(
    plural="bills",
    singular="bill",
    noun="Bill",
    report_name="Bills",
    row=_ROW,
    detail=_DETAIL,
    values=figures,
    parts=lambda organization, record: line_parts(organization, record.state, _LINE),
    sortable=("vendor_name", "bill_number", "date", "due_date", "total", "balance", "created_time"),
    keys=SUM_KEYS,
    facets=("status", "vendor_id", "bill_number", "reference_number"),
    status_filters=status_filters(*STATUSES),
    search=("bill_number", "reference_number", "vendor_name"),
    incremental=frozenset({BOOKS}),
    rule_module="bill",
    name_key="bill_number",
    stands_on=stands_on("vendor"),
)
