"""Expected rows of products, categories, stock levels, stock adjustments and price lists."""

from tds_lab.comparison.expected_columns import (
    CUSTOM_FIELDS,
    STAMPS,
    Columns,
    Expected,
    Parts,
    amount,
    day,
    flag,
    nested,
    reference,
    same,
    share,
    text,
    whole,
)

_PRODUCT: Columns = {
    **same(text, "name", "sku", "status", "description", "unit", "product_type", "item_type", "brand"),
    **same(text, "manufacturer", "category_name", "upc", "ean", "part_number"),
    **same(reference, "category_id", "tax_id"),
    **same(amount, "tax_percentage", "stock_on_hand", "available_stock", "actual_available_stock", "reorder_level"),
    **same(flag, "is_combo_product", "is_returnable"),
    "price": ("rate", amount),
    "purchase_price": ("purchase_rate", amount),
    **CUSTOM_FIELDS,
    **STAMPS,
}
_LEVEL: Columns = {
    "sku": ("sku", text),
    **same(amount, "stock_on_hand", "available_stock", "actual_available_stock", "committed_stock"),
}
_LEVEL_LOCATION: Columns = {
    "line_id": ("location_id", reference),
    "location_id": ("location_id", reference),
    "location_name": ("location_name", text),
    "stock_on_hand": ("location_stock_on_hand", amount),
    "available_stock": ("location_available_stock", amount),
    "actual_available_stock": ("location_actual_available_stock", amount),
}
_CATEGORY: Columns = {
    **same(text, "name", "description", "status"),
    "parent_id": ("parent_category_id", reference),
    "is_visible": ("visibility", flag),
}
_ADJUSTMENT: Columns = {
    **same(text, "reason", "description", "reference_number", "adjustment_type", "status"),
    "adjusted_on": ("date", day),
    "total": ("total", amount),
    "location_id": ("location_id", reference),
    "created_by": ("created_by_name", text),
    **CUSTOM_FIELDS,
    **STAMPS,
}
_ADJUSTMENT_LINE: Columns = {
    "line_id": ("line_item_id", reference),
    "product_id": ("item_id", reference),
    **same(text, "sku", "name", "unit"),
    **same(amount, "quantity_adjusted", "value_adjusted"),
    "line_total": ("item_total", amount),
    "location_id": ("location_id", reference),
}
_PRICE_LIST: Columns = {
    **same(text, "name", "description", "currency_code", "status", "pricebook_type", "pricing_scheme"),
    **same(text, "rounding_type", "sales_or_purchase_type"),
    **same(flag, "is_default", "is_increase"),
    "currency_id": ("currency_id", reference),
    "percentage": ("percentage", amount),
    "decimal_places": ("decimal_place", whole),
}
_PRICE: Columns = {
    "line_id": ("pricebook_item_id", reference),
    "product_id": ("item_id", reference),
    "price": ("pricebook_rate", amount),
    "discount": ("pricebook_discount", share),
    "pricing_scheme": ("pricing_scheme", text),
    "brackets": ("price_brackets", nested),
}

GOODS = (
    Expected(
        entity="product", plural="items", id_key="item_id", columns=_PRODUCT, single=("inventory/v1/items", "item"),
    ),
    Expected(
        entity="stock_level", plural="items", id_key="item_id", columns=_LEVEL, single=("inventory/v1/items", "item"),
        parts=(Parts(table="erp.stock_level_location", key="locations", columns=_LEVEL_LOCATION),),
    ),
    Expected(
        entity="category", plural="categories", id_key="category_id", columns=_CATEGORY,
        single=("inventory/v1/categories", "category"),
    ),
    Expected(
        entity="stock_adjustment", plural="inventoryadjustments", id_key="inventory_adjustment_id",
        columns=_ADJUSTMENT, single=("inventory/v1/inventoryadjustments", "inventory_adjustment"),
        parts=(Parts(table="erp.stock_adjustment_line", key="line_items", columns=_ADJUSTMENT_LINE),),
    ),
    Expected(
        entity="price_list", plural="pricebooks", id_key="pricebook_id", columns=_PRICE_LIST,
        single=("inventory/v1/pricebooks", "pricebook"),
        parts=(Parts(table="erp.price_list_price", key="pricebook_items", columns=_PRICE),),
    ),
)  # fmt: skip
