"""Product: something the company sells or stocks. Zoho calls it an item."""

from tds_models.entities.declaration import BatchCall, Entity, Order, Stream
from tds_models.entities.field_modifiers import filtered, required, unique, unlisted
from tds_models.entities.fields import Filter, at, boolean, custom, number, percentage, refers, text
from tds_models.findings import Severity

PRODUCT = Entity(
    name="product",
    title="Products",
    priority=5,
    # our name, the key in Zoho's record where it differs, and the rules a value must keep
    fields=(
        filtered(required(text("name")), Filter.BEGINNING),
        filtered(unique(required(text("sku"))), Filter.CODE),
        filtered(text("status")),
        text("description"),
        text("unit"),
        text("product_type"),
        text("item_type"),
        text("brand"),
        text("manufacturer"),
        *unlisted(refers("category_id", to="category"), text("category_name")),
        number("price", "rate", least=0),
        number("purchase_price", "purchase_rate", least=0),
        refers("tax_id", to=None),
        percentage("tax_percentage"),
        number("stock_on_hand", least=0, severity=Severity.WARNING),  # Zoho allows less
        number("available_stock"),
        number("actual_available_stock"),
        number("reorder_level"),
        boolean("is_combo_product"),
        boolean("is_returnable"),
        text("upc"),
        text("ean"),
        text("part_number"),
        custom(),
        at("source_created_at", "created_time"),
    ),
    # how Zoho serves it
    stream=Stream(
        api="inventory",
        path="items",
        list_key="items",
        record_key="item",
        id_key="item_id",
        order=Order.DOCUMENTED,
        where={"filter_by": "Status.All"},  # inactive items too
        batch=BatchCall(path="itemdetails", parameter="item_ids", size=100),
        wrappers=("item",),
        rule_module="item",
        complete_with=("item_id", "name", "rate", "status", "last_modified_time"),
    ),
)
