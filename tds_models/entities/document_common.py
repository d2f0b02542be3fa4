"""What sales and purchase documents have in common: goods and services, line by line."""

from tds_models.entities.declaration import Lines
from tds_models.entities.field_modifiers import place
from tds_models.entities.fields import Field, discount, number, percentage, refers, text

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
TOTALS: tuple[Field, ...] = (number("total"), number("balance"))


def lines(*more: Field) -> Lines:
    """The lines of a document, with `more` fields than all documents have."""
    return Lines(name="lines", key="line_items", id_key="line_item_id", fields=(*LINE, *more))
