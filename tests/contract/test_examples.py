"""One record of each kind, written down by hand as Zoho sends it, beside the row it must become."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from tds_core.records.transform import Provenance, RecordView, transform
from tds_models.entities import ENTITIES

PRODUCT = rb"""{"item_id": "1783541000001000048", "name": "Noor Cable Cat6 305m \u2013 grey", "sku": "NO-000006",
 "status": "active", "description": "", "unit": "pcs", "product_type": "goods", "item_type": "inventory",
 "brand": "Noor", "manufacturer": "Noor", "category_id": "4", "category_name": "Cables", "rate": 61.30,
 "purchase_rate": 40.1, "tax_id": "", "tax_percentage": 0, "stock_on_hand": 12.0, "available_stock": 12.0,
 "actual_available_stock": -3.5, "reorder_level": "", "is_combo_product": false, "is_returnable": true, "upc": "",
 "ean": "", "part_number": "", "created_time": "2024-02-28T23:59:59+0300",
 "last_modified_time": "2026-11-19T00:30:00+0300", "cf_origin": "Iraq"}"""

PRODUCT_ROW = {
    "name": "Noor Cable Cat6 305m \u2013 grey",
    "sku": "NO-000006",
    "status": "active",
    "description": None,
    "unit": "pcs",
    "product_type": "goods",
    "item_type": "inventory",
    "brand": "Noor",
    "manufacturer": "Noor",
    "category_id": "4",
    "category_name": "Cables",
    "price": Decimal("61.30"),
    "purchase_price": Decimal("40.1"),
    "tax_id": None,
    "tax_percentage": Decimal(0),
    "stock_on_hand": Decimal(12),
    "available_stock": Decimal(12),
    "actual_available_stock": Decimal("-3.5"),
    "reorder_level": None,
    "is_combo_product": False,
    "is_returnable": True,
    "upc": None,
    "ean": None,
    "part_number": None,
    "custom_fields": {"cf_origin": "Iraq"},
    "source_created_at": datetime(2024, 2, 28, 20, 59, 59, tzinfo=UTC),
}

CONTACT = """{"contact_id": "1783541000009999999", "contact_name": "Haddad Trading", "company_name": "",
 "contact_type": "%s", "status": "inactive", "first_name": "Sara", "last_name": "O'Neil",
 "email": "a@b.test", "phone": "", "mobile": "+964-770-1", "currency_id": "1783541000000000097",
 "currency_code": "USD", "payment_terms": 15, "payment_terms_label": "Net 15", "customer_sub_type": "business",
 "outstanding_receivable_amount": 0.1, "unused_credits_receivable_amount": -20,
 "outstanding_payable_amount": 7, "unused_credits_payable_amount": 0,
 "created_time": "2026-01-01T02:00:00+0300", "last_modified_time": "2026-11-19T00:30:00+0300"}"""

CONTACT_ROW = {
    "name": "Haddad Trading",
    "company_name": None,
    "status": "inactive",
    "first_name": "Sara",
    "last_name": "O'Neil",
    "email": "a@b.test",
    "phone": None,
    "mobile": "+964-770-1",
    "currency_id": "1783541000000000097",
    "currency_code": "USD",
    "payment_terms": 15,
    "payment_terms_label": "Net 15",
    "source_created_at": datetime(2025, 12, 31, 23, 0, tzinfo=UTC),
}

INVOICE = rb"""{"invoice_id": "1783541000001001000", "invoice_number": "INV-000007", "reference_number": "PO-9",
 "customer_id": 1783541000001000400, "customer_name": "Haddad Trading", "status": "partially_paid",
 "date": "2026-11-01", "due_date": "", "currency_code": "IQD", "exchange_rate": 0.000763, "sub_total": 100,
 "tax_total": 5.25, "shipping_charge": 0, "adjustment": -0.05, "total": 105.20, "balance": 5.2,
 "salesperson_id": "", "salesperson_name": "", "notes": "a\nb", "created_time": "2026-11-01T10:00:00Z",
 "last_modified_time": "2026-11-19T00:30:00+0300",
 "line_items": [{"line_item_id": "9001", "item_id": "1783541000001000048", "sku": "NO-000006", "name": "Cable",
   "description": "", "quantity": 2.5, "unit": "pcs", "rate": 40, "discount": "10%", "tax_percentage": 5,
   "item_total": 90.00}, {"line_item_id": "9002", "name": "Delivery", "quantity": 1, "rate": 10, "discount": 0.0,
   "item_total": 10}]}"""

INVOICE_ROW = {
    "number": "INV-000007",
    "reference_number": "PO-9",
    "customer_id": "1783541000001000400",
    "customer_name": "Haddad Trading",
    "status": "partially_paid",
    "invoiced_on": date(2026, 11, 1),
    "due_on": None,
    "currency_code": "IQD",
    "exchange_rate": Decimal("0.000763"),
    "sub_total": Decimal(100),
    "tax_total": Decimal("5.25"),
    "shipping_charge": Decimal(0),
    "adjustment": Decimal("-0.05"),
    "total": Decimal("105.20"),
    "balance": Decimal("5.2"),
    "salesperson_id": None,
    "salesperson_name": None,
    "notes": "a\nb",
    "source_created_at": datetime(2026, 11, 1, 10, 0, tzinfo=UTC),
}

LINES = [
    {
        "position": 0,
        "line_id": "9001",
        "product_id": "1783541000001000048",
        "sku": "NO-000006",
        "name": "Cable",
        "description": None,
        "quantity": Decimal("2.5"),
        "unit": "pcs",
        "rate": Decimal(40),
        "discount": "10%",
        "tax_percentage": Decimal(5),
        "line_total": Decimal("90.00"),
        "location_id": None,
    },
    {
        "position": 1,
        "line_id": "9002",
        "product_id": None,
        "sku": None,
        "name": "Delivery",
        "description": None,
        "quantity": Decimal(1),
        "unit": None,
        "rate": Decimal(10),
        "discount": "0",
        "tax_percentage": None,
        "line_total": Decimal(10),
        "location_id": None,
    },
]

CUSTOMER_ROW = {
    **CONTACT_ROW,
    "customer_sub_type": "business",
    "outstanding": Decimal("0.1"),
    "unused_credits": Decimal(-20),
}
VENDOR_ROW = {**CONTACT_ROW, "outstanding": Decimal(7), "unused_credits": Decimal(0)}


@pytest.mark.parametrize(
    ("entity", "sent", "row", "lines"),
    [
        ("product", PRODUCT, PRODUCT_ROW, {}),
        ("customer", (CONTACT % "customer").encode(), CUSTOMER_ROW, {}),
        ("vendor", (CONTACT % "vendor").encode(), VENDOR_ROW, {}),
        ("invoice", INVOICE, INVOICE_ROW, {"lines": LINES}),
    ],
    ids=["product", "customer", "vendor", "invoice"],
)
def test_a_record_becomes_exactly_this_row(entity: str, sent: bytes, row: dict[str, Any], lines: Any) -> None:
    candidate = transform(ENTITIES[entity], sent, view=RecordView.DETAIL, provenance=Provenance("test"))
    assert candidate.values == {**dict.fromkeys(candidate.values), **row}, "what it does not show has no value"
    assert candidate.lines == lines
    assert candidate.modified_at == datetime(2026, 11, 18, 21, 30, tzinfo=UTC)
    assert candidate.source_id.startswith("178354100000")
