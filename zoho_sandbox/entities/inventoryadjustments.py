"""Inventory adjustments: stock counted anew or written off, at one location. Inventory alone knows them."""

from typing import Any

from zoho_sandbox.entities.declaration import Declaration, selected, status_filters
from zoho_sandbox.entities.document_common import money
from zoho_sandbox.organization import Organization, fixed_id
from zoho_sandbox.record import Record, Rendered

REASONS = ("Stocktaking results", "Damaged goods", "Stolen goods", "Inventory Revaluation")
STATUSES = ("adjusted", "draft")
_BY = {f"{who}_by_{part}": "" for who in ("created", "last_modified") for part in ("id", "name")}
_SHARED: Rendered = {
    "inventory_adjustment_id": "",
    "date": "",
    "reason": "",
    "reason_id": "",
    "description": "",
    "reference_number": "",
    "adjustment_type": "quantity",
    "status": "adjusted",
    "status_formatted": "",
    "total": 0.0,
    **_BY,
    "created_time": "",
    "last_modified_time": "",
}
_ROW = _SHARED | {
    "quantity_adjusted": 0.0,
    "value_adjusted": 0.0,
    "item_id": "",
    "name": "",
    "warehouse_id": "",
    "warehouse_name": "",
    "custom_fields": [],
}
_DETAIL = _SHARED | {"location_id": "", "location_name": "", "line_items": []}
_LINE: Rendered = {
    "line_item_id": "",
    "item_id": "",
    "name": "",
    "sku": "",
    "description": "",
    "item_order": 1,
    "quantity_adjusted": 0.0,
    "value_adjusted": 0.0,
    "rate": 0.0,
    "item_total": 0.0,
    "unit": "pcs",
    "is_combo_product": False,
    "adjustment_account_id": fixed_id(35003),
    "adjustment_account_name": "Cost of Goods Sold",
    "location_id": "",
    "location_name": "",
    "serial_numbers": [],
    "batches": [],
    "storages": [],
}


def _line_total(line: dict[str, Any]) -> float:
    return money(line.get("value_adjusted", 0.0) + line.get("quantity_adjusted", 0.0) * line.get("rate", 0.0))


def _values(organization: Organization, record: Record) -> Rendered:
    lines = record.state["lines"]
    location_id, location_name, _primary = organization.locations[record.state["location"]]
    by = {key: organization.user_id if key.endswith("_id") else "Sandbox" for key in _BY}
    return by | {
        "reason_id": fixed_id(620 + REASONS.index(record.state["reason"])),
        "total": money(sum(_line_total(line) for line in lines)),
        "quantity_adjusted": sum(line.get("quantity_adjusted", 0.0) for line in lines),
        "value_adjusted": money(sum(line.get("value_adjusted", 0.0) for line in lines)),
        "item_id": lines[0]["item_id"],
        "name": lines[0]["name"],
        "location_id": location_id,
        "location_name": location_name,
        "warehouse_id": location_id,
        "warehouse_name": location_name,
    }


def _parts(organization: Organization, record: Record) -> Rendered:
    location_id, location_name, _primary = organization.locations[record.state["location"]]
    place = {"location_id": location_id, "location_name": location_name}
    return {
        "line_items": [
            selected(_LINE, line | place | {"item_order": order, "item_total": _line_total(line)})
            for order, line in enumerate(record.state["lines"], 1)
        ]
    }


INVENTORY_ADJUSTMENTS = Declaration(
    name="inventoryadjustments",
    plural="inventory_adjustments",
    singular="inventory_adjustment",
    noun="Inventory Adjustment",
    report_name="Inventory Adjustments",
    row=_ROW,
    detail=_DETAIL,
    values=_values,
    parts=_parts,
    default_sort="created_time",
    facets=("status", "adjustment_type", "reference_number"),
    status_filters=status_filters(*STATUSES),
    search=("reference_number", "description", "reason"),
    incremental=frozenset(),
    rule_module="inventoryadjustment",
    stands_on=lambda state: {line["item_id"] for line in state["lines"]},
)
