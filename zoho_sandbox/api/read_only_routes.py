"""Routes of what is only read: organisation, locations, currencies, and the bulk read of items."""

from flask import Blueprint, Response, request

from zoho_sandbox.api.middleware import current_sandbox
from zoho_sandbox.api_errors import invalid_url, invalid_value, missing
from zoho_sandbox.json_responses import encoded_answer, json_answer, single_answer
from zoho_sandbox.organization import Organization

ITEM_IDS_MAX = 100


def add_fixed_routes(api: Blueprint, *, bulk_details: bool) -> None:
    """Add them to one product; only Inventory has `/itemdetails` and single locations. No list has a page context."""
    api.add_url_rule("/organizations", view_func=organizations, methods=["GET"])
    api.add_url_rule("/organizations/<organization_id>", view_func=organization, methods=["GET"])
    api.add_url_rule("/locations", view_func=locations, methods=["GET"])
    api.add_url_rule("/settings/warehouses", view_func=warehouses, methods=["GET"])
    api.add_url_rule("/settings/currencies", view_func=currencies, methods=["GET"])
    if bulk_details:
        api.add_url_rule("/itemdetails", view_func=item_details, methods=["GET"])
        api.add_url_rule("/locations/<location_id>", view_func=location, methods=["GET"])


def _organization() -> Organization:
    return current_sandbox().world.organization


def _organization_row(held: Organization) -> dict[str, object]:
    return {
        "organization_id": held.id,
        "name": held.name,
        "contact_name": "Sandbox",
        "email": "owner@example.test",
        "is_default_org": True,
        "plan_name": "PREMIUM",
        "plan_period": "Yearly",
        "language_code": "en",
        "fiscal_year_start_month": "january",
        "time_zone": "Asia/Baghdad" if held.clock.offset == "+0300" else held.clock.offset,
        "is_org_active": True,
        "currency_id": held.currency_id,
        "currency_code": held.currency_code,
        "currency_symbol": "$",
        "price_precision": 2,
    }


def organizations() -> Response:
    return json_answer({"code": 0, "message": "success", "organizations": [_organization_row(_organization())]})


def organization(organization_id: str) -> Response:
    held = _organization()
    if organization_id != held.id:
        raise missing("Organization")
    return json_answer({"code": 0, "message": "success", "organization": _organization_row(held)})


def locations() -> Response:
    world = current_sandbox().world
    if not world.organization.knows_locations:
        raise invalid_url()
    with world.lock:
        held = world.collections["locations"]
        there = [] if world.organization.has_warehouses else held.records.values()
        rows = b",".join(held.row(record) for record in there)
    return encoded_answer(b'{"code":0,"message":"success","locations":[' + rows + b"]}")


def location(location_id: str) -> Response:
    world = current_sandbox().world
    if world.organization.has_warehouses:
        raise missing("Location") if world.organization.knows_locations else invalid_url()
    with world.lock:
        found = world.collections["locations"].detail(world.find("locations", location_id))
    return single_answer("location", found)


def warehouses() -> Response:
    world = current_sandbox().world
    with world.lock:
        rows = [
            {
                "warehouse_id": record.id,
                "warehouse_name": record.state["location_name"],
                "status": record.state["status"],
                "is_primary": record.state["is_primary"],
            }
            for record in world.collections["locations"].records.values()
        ]
    return json_answer({"code": 0, "message": "success", "warehouses": rows})


def currencies() -> Response:
    held = _organization()
    row = {
        "currency_id": held.currency_id,
        "currency_code": held.currency_code,
        "currency_name": held.currency_code,
        "currency_symbol": "$",
        "price_precision": 2,
        "is_base_currency": True,
        "exchange_rate": 0,
    }
    return json_answer({"code": 0, "message": "success", "currencies": [row]})


def item_details() -> Response:
    """Up to 100 items in full; an id that is not there is left out without a word."""
    wanted = [part.strip() for part in request.args.get("item_ids", "").split(",") if part.strip()]
    if not wanted or len(wanted) > ITEM_IDS_MAX:
        raise invalid_value("item_ids")
    world = current_sandbox().world
    items = world.collections["items"]
    with world.lock:
        found = [items.records[item_id] for item_id in dict.fromkeys(wanted) if item_id in items.records]
        rows = b",".join(items.detail(record) for record in found)
    return encoded_answer(b'{"code":0,"message":"success","items":[' + rows + b"]}")
