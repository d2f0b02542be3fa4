"""Items: what the organisation sells and keeps in stock, per location."""

from typing import Any

from zoho_sandbox.organization import Organization, fixed_id
from zoho_sandbox.record import TIME_COLUMNS, Record, Rendered, Shape, number_key, state_facet, text_key

_ROW: Rendered = {
    "item_id": "",
    "name": "",
    "item_name": "",
    "unit": "pcs",
    "status": "active",
    "source": "user",
    "is_combo_product": False,
    "is_linked_with_zohocrm": False,
    "zcrm_product_id": "",
    "description": "",
    "brand": "",
    "manufacturer": "",
    "rate": 0.0,
    "tax_id": "",
    "tax_name": "",
    "tax_percentage": 0,
    "purchase_account_id": fixed_id(35003),
    "purchase_account_name": "Cost of Goods Sold",
    "account_id": fixed_id(35005),
    "account_name": "Sales",
    "purchase_description": "",
    "purchase_rate": 0.0,
    "item_type": "inventory",
    "product_type": "goods",
    "has_attachment": False,
    "is_returnable": True,
    "reorder_level": "",
    "sku": "",
    "upc": "",
    "ean": "",
    "isbn": "",
    "part_number": "",
    "image_name": "",
    "image_type": "",
    "image_document_id": "",
    "created_time": "",
    "last_modified_time": "",
    "show_in_storefront": False,
    "length": "",
    "width": "",
    "height": "",
    "weight": "",
    "weight_unit": "kg",
    "dimension_unit": "cm",
}
_DETAIL_ONLY: Rendered = {
    "crm_owner_id": "",
    "unit_id": fixed_id(44300),
    "tax_type": "tax",
    "is_default_tax_applied": False,
    "is_taxable": True,
    "associated_template_id": "",
    "documents": [],
    "inventory_account_id": fixed_id(35001),
    "inventory_account_name": "Inventory Asset",
    "offline_created_date_with_time": "",
    "tags": [],
    "minimum_order_quantity": "",
    "maximum_order_quantity": "",
    "initial_stock": "",
    "initial_stock_rate": "",
    "vendor_id": "",
    "vendor_name": "",
    "is_fulfillable": True,
    "sales_channels": [],
    "preferred_vendors": [],
    "item_tax_preferences": [],
    # Whatever a list is asked for, it shows no categories.
    "category_id": "",
    "category_name": "",
}
_LIST_ONLY = ("item_name", "has_attachment", "image_document_id", "show_in_storefront")
_SIZES = ("length", "width", "height", "weight", "weight_unit", "dimension_unit")
_DETAIL = {key: value for key, value in _ROW.items() if key not in {*_LIST_ONLY, *_SIZES}} | _DETAIL_ONLY
_FACETS = ("status", "sku", "category_id", "product_type")
_CATEGORY = ("category_id", "category_name")
# Kept in a record's state but never written as they stand.
_INNER = ("stocks", "committed", "cf")
_COLUMNS = {
    "name": text_key("name"),
    "sku": text_key("sku"),
    "rate": number_key("rate"),
    "purchase_rate": number_key("purchase_rate"),
    "reorder_level": number_key("reorder_level"),
    "stock_on_hand": lambda record: sum(record.state.get("stocks", ())),
    **TIME_COLUMNS,
}


class _ItemWire:
    """Writes items as a list and as a detail show them."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.stamp = organization.clock.stamp
        field = organization.custom_fields["items"].api_name
        self.custom_keys = (field, f"{field}_unformatted")

    def row(self, record: Record) -> Rendered:
        rendered = self._fill(_ROW.copy(), record)
        for key in _CATEGORY:
            rendered.pop(key, None)
        rendered["item_name"] = rendered["name"]
        if value := record.state.get("cf"):
            for key in self.custom_keys:
                rendered[key] = value
        return rendered

    def row_at(self, record: Record, place: int) -> Rendered:
        """The row with the stock of one location instead of all."""
        rendered = self.row(record)
        if "stocks" in record.state:
            rendered |= _counts(record.state["stocks"][place], record.state["committed"][place])
        return rendered

    def detail(self, record: Record) -> Rendered:
        state = record.state
        rendered = self._fill(_DETAIL.copy(), record)
        rendered |= {
            "sales_rate": rendered["rate"],
            "pricebook_rate": rendered["rate"],
            "rate_formatted": f"{self.organization.currency_code} {rendered['rate']:,.2f}",
            "locations": _locations(self.organization, state) if "stocks" in state else [],
            "package_details": {key: state.get(key, _ROW[key]) for key in _SIZES},
        }
        if "stocks" in state:
            committed, free = round(sum(state["committed"]), 2), rendered["actual_available_stock"]
            rendered |= dict.fromkeys(("committed_stock", "actual_committed_stock"), committed)
            rendered |= dict.fromkeys(("available_for_sale_stock", "actual_available_for_sale_stock"), free)
        return rendered | self.organization.custom_parts("items", state.get("cf", ""))

    def _fill(self, rendered: Rendered, record: Record) -> Rendered:
        """Put what is the record's own into a copy of what all have in common: the path of every list row."""
        state = record.state
        rendered.update(state)
        for inner in _INNER:
            rendered.pop(inner, None)
        rendered["item_id"] = record.id
        rendered["created_time"] = self.stamp(record.created)
        rendered["last_modified_time"] = self.stamp(record.modified)
        if state.get("tax_percentage"):
            rendered["tax_id"], rendered["tax_name"] = self.organization.tax_id, "VAT"
        if "stocks" in state:
            rendered |= _counts(sum(state["stocks"]), sum(state["committed"]))
        return rendered


def item_shape(organization: Organization) -> Shape:
    """The shape of items as `organization` keeps them."""
    wire = _ItemWire(organization)
    return Shape(
        name="items",
        plural="items",
        singular="item",
        wrapper="item",
        noun="Item",
        id_key="item_id",
        report_name="Items",
        default_sort="name",
        columns=_COLUMNS,
        sortable=frozenset(_COLUMNS),
        facets={
            name: state_facet(name, str(_DETAIL[name])) for name in ("status", "sku", "category_id", "product_type")
        },
        status_filters={"Status.Active": ("status", "active"), "Status.Inactive": ("status", "inactive")},
        contains={"name_contains": "name", "description_contains": "description"},
        search=("name", "sku", "description"),
        render_row=wire.row,
        render_detail=wire.detail,
        rule_module=lambda _record: "item",
        name_key="name",
        render_row_at=wire.row_at,
    )


def _counts(held: float, committed: float) -> Rendered:
    held = round(held, 2)
    return {
        "stock_on_hand": held,
        "available_stock": held,
        "actual_available_stock": round(held - committed, 2),
    }


def _locations(organization: Organization, state: dict[str, Any]) -> list[Rendered]:
    """Stock by location, in text as Zoho's own description of the call types it."""
    counts = zip(organization.locations, state["stocks"], state["committed"], strict=True)
    return [
        {
            "location_id": location_id,
            "location_name": name,
            "status": "active",
            "is_primary": primary,
            **{f"location_{name}": f"{count:.2f}" for name, count in _counts(held, committed).items()},
        }
        for (location_id, name, primary), held, committed in counts
    ]
