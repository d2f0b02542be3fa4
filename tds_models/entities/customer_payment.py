"""Customer payment: money received, and the invoices it paid."""

from tds_models.entities.declaration import Entity, Lines, Order, Stream
from tds_models.entities.field_modifiers import filtered, identifying, place, required, undetailed, unlisted
from tds_models.entities.fields import Filter, at, custom, number, on, refers, text

CUSTOMER_PAYMENT = Entity(
    name="customer_payment",
    title="Customer payments",
    priority=5,
    fields=(
        *undetailed(filtered(text("number", "payment_number"), Filter.CODE)),
        text("reference_number"),
        filtered(required(refers("customer_id", to="customer")), Filter.REFERENCE),
        identifying(text("customer_name")),
        text("payment_mode"),
        *unlisted(filtered(text("status"))),
        required(on("paid_on", "date")),
        *unlisted(text("currency_code"), number("exchange_rate")),
        required(number("amount", least=0)),
        number("unused_amount"),
        number("tax_withheld", "tax_amount_withheld"),
        *unlisted(number("bank_charges"), number("refunded", "amount_refunded")),
        refers("account_id", to=None),
        text("account_name"),
        text("description"),
        place(),
        custom(),
        *undetailed(at("source_created_at", "created_time")),
    ),
    lines=(
        Lines(
            name="applications",
            key="invoices",
            id_key="invoice_payment_id",
            fields=(
                refers("invoice_id", to="invoice"),
                text("invoice_number"),
                on("invoiced_on", "date"),
                number("invoice_amount"),
                number("amount", "amount_applied"),
                number("balance", "balance_amount"),
            ),
        ),
    ),
    stream=Stream(
        api="books",
        path="customerpayments",
        list_key="customerpayments",
        record_key="payment",
        id_key="payment_id",
        order=Order.UNKNOWN,  # no document has it among the orders of this list
        wrappers=("customerpayment", "payment", "customer_payment"),
        rule_module="customerpayment",
        complete_with=("payment_id", "customer_id", "amount", "invoices", "last_modified_time"),
    ),
)
