"""Lookup lists behind the records: users, taxes, item categories, locations. No workflow rule knows them."""

from zoho_sandbox.entities.declaration import Declaration
from zoho_sandbox.organization import Organization
from zoho_sandbox.record import Record, Rendered

_USER: Rendered = {
    "user_id": "",
    "role_id": "",
    "name": "",
    "email": "",
    "mobile": "",
    "user_role": "staff",
    "user_type": "zoho",
    "status": "active",
    "is_current_user": False,
    "photo_url": "",
}


def _user_values(organization: Organization, record: Record) -> Rendered:
    email = record.state["email"]
    return {
        "is_current_user": record.id == organization.user_id,
        "photo_url": f"https://contacts.invalid/file?ID={record.id}",
        "email_ids": [{"email": email, "is_selected": True}],
    }


USERS = Declaration(
    plural="users",
    singular="user",
    noun="User",
    report_name="Users",
    row=_USER,
    # One alone has its addresses in a list, and no number.
    detail={key: value for key, value in _USER.items() if key not in ("email", "mobile", "is_current_user")}
    | {"email_ids": [], "is_claimant": False, "created_time": "", "custom_fields": []},
    values=_user_values,
    sortable=("name", "email", "user_role", "status"),
    default_sort="name",
    default_order="A",
    facets=("status",),
    status_filters={
        f"Status.{name.title()}": ("status", name) for name in ("active", "inactive", "invited", "deleted")
    },
    search=("name", "email"),
    incremental=frozenset(),
    name_key="email",
)
_TAX: Rendered = {
    "tax_id": "",
    "tax_name": "",
    "tax_percentage": 0.0,
    "tax_type": "tax",
    "tax_specific_type": "",
    "tax_authority_id": "",
    "tax_authority_name": "",
    "is_value_added": True,
    "is_default_tax": False,
    "is_editable": True,
    "is_inactive": False,
    "status": "Active",
}
TAXES = Declaration(
    plural="taxes",
    singular="tax",
    noun="Tax",
    report_name="Taxes",
    row=_TAX | {"last_modified_time": ""},
    detail=_TAX | {"country": "", "country_code": ""},
    default_sort="tax_name",
    default_order="A",
    keys={"tax_name": lambda record: str(record.state["tax_name"]).lower()},
    incremental=frozenset(),
    name_key="tax_name",
)
_CATEGORY: Rendered = {
    "category_id": "",
    "name": "",
    "description": "",
    "parent_category_id": "-1",
    "depth": 0,
    "visibility": True,
    "status": "active",
    "url": "",
}
CATEGORIES = Declaration(
    plural="categories",
    singular="category",
    noun="Category",
    report_name="Categories",
    row=_CATEGORY,
    detail=_CATEGORY,
    default_sort="name",
    default_order="A",
    keys={"name": lambda record: str(record.state["name"]).lower()},
    incremental=frozenset(),
    name_key="name",
)
_LOCATION: Rendered = {
    "location_id": "",
    "location_name": "",
    "type": "general",
    "parent_location_id": "",
    "email": "",
    "phone": "",
}


def _location_values(_organization: Organization, record: Record) -> Rendered:
    is_active = record.state["status"] == "active"
    own = {"location_id": record.id, "location_name": record.state["location_name"]}
    return own | {"is_primary_location": record.state["is_primary"], "is_location_active": is_active}


LOCATIONS = Declaration(
    plural="locations",
    singular="location",
    noun="Location",
    report_name="Locations",
    row=_LOCATION,
    # Only where Zoho shows one alone it says whether it is active.
    detail=_LOCATION | {"website": "", "is_primary_location": False, "is_location_active": True},
    values=_location_values,
    incremental=frozenset(),
    name_key="location_name",
)
