"""What the mirror must hold for a record of the stand-in, written down by hand for every column.

On purpose this shares nothing with the sync: two mistakes would have to agree to go unseen.
"""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

Reader = Callable[[Any], Any]
Columns = Mapping[str, tuple[str, Reader]]


def _words(value: Any) -> str | None:
    return None if value is None else str(value)


def _amount(value: Any) -> Decimal | None:
    return None if value in (None, "") else Decimal(str(value))


def _whole(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def _reference(value: Any) -> str | None:
    return str(value) if value else None


def _flag(value: Any) -> bool | None:
    return {True: True, False: False, "true": True, "false": False}.get(value)


def _day(value: Any) -> date | None:
    return date.fromisoformat(value) if value else None


def _moment(value: Any) -> datetime | None:
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC) if value else None


def _same(reader: Reader, *names: str) -> dict[str, tuple[str, Reader]]:
    return {name: (name, reader) for name in names}


_STAMPS: Columns = {
    "source_created_at": ("created_time", _moment),
    "source_modified_at": ("last_modified_time", _moment),
}

_PRODUCT: Columns = {
    **_same(_words, "name", "sku", "status", "description", "unit", "product_type", "item_type", "brand"),
    **_same(_words, "manufacturer", "category_name", "upc", "ean", "part_number"),
    **_same(_reference, "category_id", "tax_id"),
    **_same(_amount, "tax_percentage", "stock_on_hand", "available_stock", "actual_available_stock", "reorder_level"),
    **_same(_flag, "is_combo_product", "is_returnable"),
    "price": ("rate", _amount),
    "purchase_price": ("purchase_rate", _amount),
    **_STAMPS,
}

_CONTACT: Columns = {
    "name": ("contact_name", _words),
    **_same(_words, "company_name", "status", "first_name", "last_name", "email", "phone", "mobile", "currency_code"),
    **_same(_words, "payment_terms_label"),
    "currency_id": ("currency_id", _reference),
    "payment_terms": ("payment_terms", _whole),
    **_STAMPS,
}
_CUSTOMER: Columns = {
    **_CONTACT,
    "customer_sub_type": ("customer_sub_type", _words),
    "outstanding": ("outstanding_receivable_amount", _amount),
    "unused_credits": ("unused_credits_receivable_amount", _amount),
}
_VENDOR: Columns = {
    **_CONTACT,
    "outstanding": ("outstanding_payable_amount", _amount),
    "unused_credits": ("unused_credits_payable_amount", _amount),
}

_INVOICE: Columns = {
    "number": ("invoice_number", _words),
    **_same(_words, "reference_number", "customer_name", "status", "currency_code", "salesperson_name", "notes"),
    **_same(_reference, "customer_id", "salesperson_id"),
    "invoiced_on": ("date", _day),
    "due_on": ("due_date", _day),
    **_same(_amount, "exchange_rate", "sub_total", "tax_total", "shipping_charge", "adjustment", "total", "balance"),
    **_STAMPS,
}
_INVOICE_LINE: Columns = {
    "line_id": ("line_item_id", _reference),
    "product_id": ("item_id", _reference),
    **_same(_words, "sku", "name", "description", "unit", "discount"),
    **_same(_amount, "quantity", "rate", "tax_percentage"),
    "line_total": ("item_total", _amount),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
    """One mirror table: which records of the stand-in belong in it, and what its columns must say."""

    entity: str
    table: str
    plural: str
    id_key: str
    columns: Columns
    belongs: Callable[[Mapping[str, Any]], bool] = lambda _record: True
    line_table: str = ""
    line_key: str = ""
    line_columns: Columns = dataclasses.field(default_factory=dict)

    def row(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of the row that `record` must have."""
        return {column: read(record.get(key)) for column, (key, read) in self.columns.items()}

    def lines(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The lines that `record` must have, in their order."""
        return [
            {column: read(line.get(key)) for column, (key, read) in self.line_columns.items()}
            for line in record.get(self.line_key, ())
        ]


EXPECTED = (
    Expected(entity="product", table="erp.product", plural="items", id_key="item_id", columns=_PRODUCT),
    Expected(
        entity="customer", table="erp.customer", plural="contacts", id_key="contact_id", columns=_CUSTOMER,
        belongs=lambda record: record["contact_type"] == "customer",
    ),
    Expected(
        entity="vendor", table="erp.vendor", plural="contacts", id_key="contact_id", columns=_VENDOR,
        belongs=lambda record: record["contact_type"] == "vendor",
    ),
    Expected(
        entity="invoice", table="erp.invoice", plural="invoices", id_key="invoice_id", columns=_INVOICE,
        line_table="erp.invoice_line", line_key="line_items", line_columns=_INVOICE_LINE,
    ),
)  # fmt: skip
