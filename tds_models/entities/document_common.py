"""What sales and purchase documents have in common: goods and services, line by line."""

from tds_models.entities.declaration import Lines
from tds_models.entities.field_modifiers import place, required
from tds_models.entities.fields import Field, discount, number, percentage, refers, text
from tds_models.entities.totals import DocumentTotal, LineTotal

LINE: tuple[Field, ...] = (
    refers("product_id", to="product", key="item_id"),
    text("sku"),
    text("name"),
    text("description"),
    number("quantity"),
    text("unit"),
    number("rate"),
    discount("discount"),
    percentage("tax_percentage"),
    number("line_total", "item_total"),
    place(),
)

#: What lists show of a document's money, and what only details do.
CURRENCY: tuple[Field, ...] = (text("currency_code"), number("exchange_rate"))
SUMS: tuple[Field, ...] = (number("sub_total"), number("tax_total"), number("adjustment"))
TOTALS: tuple[Field, ...] = (required(number("total")), number("balance"))


#: Zoho calls sub_total the sum of all lines. Whether a line's total has the tax of an inclusive rate, and which sum an
#: entity's discount is taken from, differs: each sum that the record itself states counts.
LINE_TOTAL = LineTotal(
    lines="lines",
    part="line_total",
    total="sub_total",
    stated_as=("sub_total_inclusive_of_tax", "sub_total_exclusive_of_discount"),
    tax="tax_total",
)


def document_total(*parts: str) -> DocumentTotal:
    """The total of a document: its sub-total, its tax, and the fields `parts`."""
    return DocumentTotal(
        parts=("sub_total", "tax_total", *parts),
        total="total",
        more=("roundoff_value",),
        tax="tax_total",
        unless=(
            *("is_reverse_charge_applied", "is_tds_applied", "tds_total", "tds_amount", "tcs_amount"),
            *("tax_amount_withheld", "is_pre_gst"),
        ),
    )


def lines(*more: Field) -> Lines:
    """The lines of a document, with `more` fields than all documents have."""
    return Lines(name="lines", key="line_items", id_key="line_item_id", fields=(*LINE, *more))
