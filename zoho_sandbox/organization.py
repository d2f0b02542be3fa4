"""The organisation the sandbox holds: its zone, currency, locations, taxes and custom fields."""

from dataclasses import dataclass
from typing import Any

from zoho_sandbox.api_errors import invalid_value
from zoho_sandbox.clock import OrgClock
from zoho_sandbox.settings import Settings

# Fixed rows have fixed ids below the seeded ones, so that two sandboxes agree on them.
BASE_ID = 1_783_541_000_000_000_000


def fixed_id(number: int) -> str:
    return str(BASE_ID + number)


@dataclass(frozen=True)
class CustomField:
    """A field the organisation added to one kind of record."""

    id: str
    api_name: str
    label: str
    data_type: str

    def written(self, value: Any) -> dict[str, Any]:
        """The field as a detail record carries it."""
        return {
            "customfield_id": self.id,
            "api_name": self.api_name,
            "label": self.label,
            "value": value,
            "value_formatted": str(value),
            "data_type": self.data_type,
            "index": 1,
            "show_on_pdf": False,
            "is_active": True,
        }


class Organization:
    """What every record of the organisation shares."""

    def __init__(self, settings: Settings, clock: OrgClock) -> None:
        self.id = settings.organization_id
        self.name = settings.organization_name
        self.clock = clock
        self.currency_code = settings.currency_code
        self.currency_id = fixed_id(97)
        self.user_id = fixed_id(1)
        self.has_warehouses = settings.warehouses
        self.knows_locations = settings.warehouses_know_locations or not settings.warehouses
        self.shows_undescribed = settings.undescribed_keys
        # The keys around the webhook bodies of modules for which nobody outside Zoho knows them.
        self.wrappers = {
            "customerpayment": settings.payment_wrapper,
            "inventoryadjustment": settings.adjustment_wrapper,
        }
        self.locations = _locations(settings.locations)
        location_id, location_name, _primary = self.locations[0]
        # What nearly every document says of itself.
        self.shared = {
            "currency_id": self.currency_id,
            "currency_code": self.currency_code,
            "location_id": location_id,
            "location_name": location_name,
        }
        self.tax_id = fixed_id(557028)
        self.has_custom_field_hash = settings.custom_field_hash
        self.custom_fields = {
            "items": CustomField(fixed_id(900), "cf_origin", "Origin", "dropdown"),
            "contacts": CustomField(fixed_id(902), "cf_region", "Region", "string"),
            "invoices": CustomField(fixed_id(904), "cf_channel", "Channel", "string"),
            "salesorders": CustomField(fixed_id(906), "cf_channel", "Channel", "string"),
            "customerpayments": CustomField(fixed_id(908), "cf_collector", "Collector", "string"),
            "bills": CustomField(fixed_id(910), "cf_container", "Container", "string"),
            "creditnotes": CustomField(fixed_id(912), "cf_cause", "Cause", "dropdown"),
            "inventoryadjustments": CustomField(fixed_id(914), "cf_counter", "Counter", "string"),
        }

    def place_of(self, location_id: str) -> int:
        """Which of the locations has this id; refuses like Zoho when none has."""
        for place, (known, _name, _primary) in enumerate(self.locations):
            if known == location_id:
                return place
        raise invalid_value("location_id")

    def custom_parts(self, name: str, value: Any) -> dict[str, Any]:
        """The ways a detail record of the module `name` carries its custom field: a list, and mostly an object."""
        field, has_value = self.custom_fields[name], value not in ("", None)
        listed = {"custom_fields": [field.written(value)] if has_value else []}
        if not self.has_custom_field_hash:
            return listed
        named = {field.api_name: value, f"{field.api_name}_unformatted": value}
        return {**listed, "custom_field_hash": named if has_value else {}}


def _locations(count: int) -> list[tuple[str, str, bool]]:
    """Id, name and whether it is the primary one, of each location."""
    names = ["Head Office", "North Depot", "Showroom", *(f"Depot {number}" for number in range(4, count + 1))]
    return [(fixed_id(38080 + 2 * place), name, place == 0) for place, name in enumerate(names[: max(count, 1)])]
