"""Price list: the prices some customers pay, product by product."""

from tds_models.entities.declaration import Entity, Increment, Lines, Shows, Stream
from tds_models.entities.field_modifiers import filtered, required, undetailed
from tds_models.entities.fields import Filter, boolean, discount, integer, nested, number, percentage, refers, text

PRICE_LIST = Entity(
    name="price_list",
    title="Price lists",
    priority=8,
    cached_seconds=1800,
    # of one list alone there is no description: what it does not show may only be unsaid
    fields=undetailed(
        filtered(required(text("name")), Filter.BEGINNING),
        text("description"),
        refers("currency_id", to=None),
        text("currency_code"),
        filtered(text("status")),
        text("pricebook_type"),
        text("pricing_scheme"),
        text("rounding_type"),
        text("sales_or_purchase_type"),
        boolean("is_default"),
        boolean("is_increase"),
        percentage("percentage"),
        integer("decimal_places", "decimal_place"),
    ),
    lines=(
        Lines(
            name="prices",
            key="pricebook_items",
            id_key="pricebook_item_id",
            detailed=False,
            fields=(
                refers("product_id", to="product", key="item_id"),
                number("price", "pricebook_rate", least=0),
                discount("discount", "pricebook_discount"),
                text("pricing_scheme"),
                nested("brackets", "price_brackets"),
            ),
        ),
    ),
    stream=Stream(
        api="inventory",
        path="pricebooks",
        list_key="pricebooks",
        record_key="pricebook",
        id_key="pricebook_id",
        right="settings",
        modified_key=None,
        increment=Increment.FULL,
        list_shows=Shows.NONE,  # neither a price nor a time of change is on the list
    ),
)
