"""Stock level: the stock of a product by location. Zoho returns it inside the item."""

from tds_models.entities.declaration import BatchCall, Entity, Increment, Lines, Shows, Stream
from tds_models.entities.field_modifiers import filtered, older, place, unlisted
from tds_models.entities.fields import Field, Filter, number, text
from tds_models.findings import Severity


def _count(name: str) -> Field:
    """A quantity at one location."""
    return older(f"warehouse_{name}", number(name, f"location_{name}"))


STOCK_LEVEL = Entity(
    name="stock_level",
    title="Stock levels",
    priority=8,
    cached_seconds=60,
    fields=(
        filtered(text("sku"), Filter.CODE),
        number("stock_on_hand", least=0, severity=Severity.WARNING),
        number("available_stock"),
        number("actual_available_stock"),
        *unlisted(number("committed_stock")),
    ),
    lines=(
        Lines(
            name="locations",
            key="locations",
            id_key="location_id",
            older="warehouses",
            older_id_key="warehouse_id",
            fields=(
                place(),
                older("warehouse_name", text("location_name")),
                _count("stock_on_hand"),
                _count("available_stock"),
                _count("actual_available_stock"),
            ),
        ),
    ),
    # a record here is a product's stock, so its id is the product's
    fed_by={
        "product": None,
        "invoice": "lines",
        "sales_order": "lines",
        "bill": "lines",
        "credit_note": "lines",
        "stock_adjustment": "lines",
    },
    stream=Stream(
        api="inventory",
        path="items",
        list_key="items",
        record_key="item",
        id_key="item_id",
        where={"filter_by": "Status.All"},
        modified_key=None,  # whether a movement of stock moves an item's time of change is not known
        increment=Increment.FULL,
        list_shows=Shows.SOME,  # a transfer between two locations changes no total
        batch=BatchCall(path="itemdetails", parameter="item_ids", size=100),
    ),
)
