"""Stock adjustment: goods counted, lost or found, outside any sale or purchase."""

from tds_models.entities.declaration import Entity, Increment, Lines, Stream
from tds_models.entities.field_modifiers import filtered, place, required, undetailed
from tds_models.entities.fields import Filter, at, custom, number, on, refers, text
from tds_models.entities.totals import LineTotal
from tds_models.findings import Severity

STOCK_ADJUSTMENT = Entity(
    name="stock_adjustment",
    title="Stock adjustments",
    priority=8,
    fields=(
        required(on("adjusted_on", "date")),
        text("reason"),
        text("description"),
        filtered(text("reference_number"), Filter.CODE),
        text("adjustment_type"),
        *undetailed(filtered(text("status"))),
        number("total"),
        place(),
        *undetailed(text("created_by", "created_by_name")),
        custom(),
        *undetailed(at("source_created_at", "created_time")),
    ),
    lines=(
        Lines(
            name="lines",
            key="line_items",
            id_key="line_item_id",
            fields=(
                refers("product_id", to="product", key="item_id"),
                text("sku"),
                text("name"),
                text("unit"),
                number("quantity_adjusted"),
                number("value_adjusted"),
                number("line_total", "item_total"),
                place(),
            ),
        ),
    ),
    line_total=LineTotal(lines="lines", part="line_total", total="total", severity=Severity.WARNING),
    stream=Stream(
        api="inventory",
        path="inventoryadjustments",
        list_key="inventory_adjustments",
        record_key="inventory_adjustment",
        id_key="inventory_adjustment_id",
        increment=Increment.FULL,  # no filter and no order by time of change is known for this list
        wrappers=("inventory_adjustment", "inventoryadjustment"),
        rule_module="inventoryadjustment",
        complete_with=("inventory_adjustment_id", "status", "line_items", "last_modified_time"),
    ),
)
