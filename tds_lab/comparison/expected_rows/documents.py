"""Expected rows of orders, invoices, bills, credit notes and customer payments, with their lines."""

from tds_lab.comparison.expected_columns import (
    CUSTOM_FIELDS,
    STAMPS,
    Columns,
    Expected,
    Parts,
    amount,
    day,
    flag,
    reference,
    same,
    share,
    text,
)

_PAYMENT: Columns = {
    "number": ("payment_number", text),
    **same(text, "reference_number", "customer_name", "payment_mode", "status", "currency_code", "account_name"),
    **same(text, "description"),
    **same(reference, "customer_id", "account_id", "location_id"),
    **same(amount, "exchange_rate", "amount", "unused_amount", "bank_charges"),
    "paid_on": ("date", day),
    "tax_withheld": ("tax_amount_withheld", amount),
    "refunded": ("amount_refunded", amount),
    **CUSTOM_FIELDS,
    **STAMPS,
}
_APPLICATION: Columns = {
    "line_id": ("invoice_payment_id", reference),
    "invoice_id": ("invoice_id", reference),
    "invoice_number": ("invoice_number", text),
    "invoiced_on": ("date", day),
    "invoice_amount": ("invoice_amount", amount),
    "amount": ("amount_applied", amount),
    "balance": ("balance_amount", amount),
}

MONEY = (
    Expected(
        entity="customer_payment", plural="customerpayments", id_key="payment_id", columns=_PAYMENT,
        single=("books/v3/customerpayments", "payment"),
        parts=(Parts(table="erp.customer_payment_application", key="invoices", columns=_APPLICATION),),
    ),
)  # fmt: skip


_MONEY = same(amount, "exchange_rate", "sub_total", "tax_total", "adjustment", "total", "balance")
_DOCUMENT: Columns = {
    **same(text, "reference_number", "status", "currency_code", "notes"),
    "location_id": ("location_id", reference),
    **_MONEY,
    **CUSTOM_FIELDS,
    **STAMPS,
}
_SALE: Columns = {**_DOCUMENT, "customer_id": ("customer_id", reference), "customer_name": ("customer_name", text)}
_LINE: Columns = {
    "line_id": ("line_item_id", reference),
    "product_id": ("item_id", reference),
    **same(text, "sku", "name", "description", "unit"),
    "discount": ("discount", share),
    **same(amount, "quantity", "rate", "tax_percentage"),
    "line_total": ("item_total", amount),
    "location_id": ("location_id", reference),
}

_ORDER: Columns = {
    **_SALE,
    "number": ("salesorder_number", text),
    **same(text, "order_status", "invoiced_status", "paid_status", "shipped_status", "delivery_method"),
    "salesperson_name": ("salesperson_name", text),
    "ordered_on": ("date", day),
    "shipment_on": ("shipment_date", day),
    "shipping_charge": ("shipping_charge", amount),
    "quantity": ("total_quantity", amount),
    "is_backorder": ("is_backordered", flag),
    "is_drop_shipment": ("is_dropshipped", flag),
}
_ORDER_LINE: Columns = {
    **_LINE,
    **same(amount, "quantity_packed", "quantity_shipped", "quantity_invoiced", "quantity_cancelled"),
    **same(amount, "quantity_returned"),
}
_INVOICE: Columns = {
    **_SALE,
    "number": ("invoice_number", text),
    "sales_order_id": ("salesorder_id", reference),
    "salesperson_id": ("salesperson_id", reference),
    "salesperson_name": ("salesperson_name", text),
    "invoiced_on": ("date", day),
    "due_on": ("due_date", day),
    **same(amount, "shipping_charge", "payment_made", "credits_applied", "write_off_amount"),
}
_BILL: Columns = {
    **_DOCUMENT,
    "number": ("bill_number", text),
    "vendor_id": ("vendor_id", reference),
    "vendor_name": ("vendor_name", text),
    "billed_on": ("date", day),
    "due_on": ("due_date", day),
    **same(amount, "payment_made", "vendor_credits_applied"),
}
_CREDIT: Columns = {
    **_SALE,
    "number": ("creditnote_number", text),
    "credited_on": ("date", day),
    "credits_used": ("total_credits_used", amount),
    "refunded": ("total_refunded_amount", amount),
}
_CREDIT_LINE: Columns = {
    **_LINE,
    "invoice_id": ("invoice_id", reference),
    "is_returned_to_stock": ("is_returned_to_stock", flag),
}
_CREDIT_APPLICATION: Columns = {
    "line_id": ("creditnote_invoice_id", reference),
    "invoice_id": ("invoice_id", reference),
    "invoice_number": ("invoice_number", text),
    "applied_on": ("date", day),
    "amount": ("amount", amount),
}

TRADE = (
    Expected(
        entity="sales_order", plural="salesorders", id_key="salesorder_id", columns=_ORDER,
        single=("books/v3/salesorders", "salesorder"),
        parts=(Parts(table="erp.sales_order_line", key="line_items", columns=_ORDER_LINE),),
    ),
    Expected(
        entity="invoice", plural="invoices", id_key="invoice_id", columns=_INVOICE,
        single=("books/v3/invoices", "invoice"),
        parts=(Parts(table="erp.invoice_line", key="line_items", columns=_LINE),),
    ),
    Expected(
        entity="bill", plural="bills", id_key="bill_id", columns=_BILL, single=("books/v3/bills", "bill"),
        parts=(
            Parts(table="erp.bill_line", key="line_items", columns={**_LINE, "account_name": ("account_name", text)}),
        ),
    ),
    Expected(
        entity="credit_note", plural="creditnotes", id_key="creditnote_id", columns=_CREDIT,
        single=("books/v3/creditnotes", "creditnote"),
        parts=(
            Parts(table="erp.credit_note_line", key="line_items", columns=_CREDIT_LINE),
            Parts(table="erp.credit_note_application", key="invoices", columns=_CREDIT_APPLICATION),
        ),
    ),
)  # fmt: skip
