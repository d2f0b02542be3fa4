"""Money: what customers paid, and for which invoices."""

from tds_api.cli.demo.expected import OWN_FIELDS, STAMPS, Columns, Expected, Parts, amount, day, reference, same, words

_PAYMENT: Columns = {
    "number": ("payment_number", words),
    **same(words, "reference_number", "customer_name", "payment_mode", "status", "currency_code", "account_name"),
    **same(words, "description"),
    **same(reference, "customer_id", "account_id", "location_id"),
    **same(amount, "exchange_rate", "amount", "unused_amount", "bank_charges"),
    "paid_on": ("date", day),
    "tax_withheld": ("tax_amount_withheld", amount),
    "refunded": ("amount_refunded", amount),
    **OWN_FIELDS,
    **STAMPS,
}
_APPLICATION: Columns = {
    "line_id": ("invoice_payment_id", reference),
    "invoice_id": ("invoice_id", reference),
    "invoice_number": ("invoice_number", words),
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
