"""Fields an endpoint shows beyond Zoho's descriptions, and as organisations spell them that had warehouses first."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from zoho_sandbox.organization import Organization
from zoho_sandbox.record import Record, Rendered, Shape

#: Keys no description lists though the door must have them: of these modules it shows (nearly) nothing, or no times.
UNDESCRIBED: dict[tuple[str, str], frozenset[str]] = {
    (path, door): frozenset(keys.split())
    for (path, door), keys in {
        ("categories", "list"): "category_id name description parent_category_id depth visibility status url",
        ("categories", "detail"): "category_id name description parent_category_id depth visibility status url",
        ("pricebooks", "detail"): "pricebook_id name description currency_id currency_code is_default is_increase"
        " percentage pricebook_type pricing_scheme rounding_type sales_or_purchase_type status decimal_place"
        " pricebook_items",
        ("customerpayments", "detail"): "payment_number created_time last_modified_time",
        ("creditnotes", "detail"): "currency_id exchange_rate price_precision is_emailed sub_total tax_total adjustment"
        " total_credits_used total_refunded_amount last_modified_time",
        ("inventoryadjustments", "detail"): "status created_by_id created_by_name last_modified_by_id"
        " last_modified_by_name created_time last_modified_time",
    }.items()
}

Render = Callable[[Record], Rendered]


def as_shown(shape: Shape, organization: Organization) -> Shape:
    """The shape as this organisation's doors show it."""
    row, detail = shape.render_row, shape.render_detail
    at = shape.render_row_at
    if not organization.shows_undescribed:
        row = _without(row, UNDESCRIBED.get((shape.name, "list"), frozenset()))
        detail = _without(detail, UNDESCRIBED.get((shape.name, "detail"), frozenset()))
    if organization.has_warehouses and shape.name != "locations":
        row, detail = _with_warehouses(row), _with_warehouses(detail)
    return replace(shape, render_row=row, render_detail=detail, render_row_at=at)


def _without(render: Render, keys: frozenset[str]) -> Render:
    if not keys:
        return render
    return lambda record: {key: value for key, value in render(record).items() if key not in keys}


def _with_warehouses(render: Render) -> Render:
    return lambda record: {_older(key): _respelled(value) for key, value in render(record).items()}


def _respelled(value: Any) -> Any:
    if isinstance(value, dict):
        return {_older(key): _respelled(each) for key, each in value.items()}
    return [_respelled(each) for each in value] if isinstance(value, list) else value


def _older(key: str) -> str:
    """`location_id`, `location_stock_on_hand` and `locations`, as they were called before."""
    return key.replace("location", "warehouse", 1) if key == "locations" or key.startswith("location_") else key
