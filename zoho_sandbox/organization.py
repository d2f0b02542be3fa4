"""The organisation the sandbox holds: its zone, currency, locations, taxes and custom fields."""

from dataclasses import dataclass
from typing import Any

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
        self.locations = [
            (fixed_id(38080), "Head Office", True),
            (fixed_id(38082), "North Depot", False),
            (fixed_id(38084), "Showroom", False),
        ]
        self.tax_id = fixed_id(557028)
        self.custom_fields = {
            "items": CustomField(fixed_id(900), "cf_origin", "Origin", "dropdown"),
            "contacts": CustomField(fixed_id(902), "cf_region", "Region", "string"),
            "invoices": CustomField(fixed_id(904), "cf_channel", "Channel", "string"),
        }

    def custom_parts(self, plural: str, value: Any) -> dict[str, Any]:
        """The two ways a detail record carries custom fields."""
        field = self.custom_fields[plural]
        if value in ("", None):
            return {"custom_fields": [], "custom_field_hash": {}}
        return {
            "custom_fields": [field.written(value)],
            "custom_field_hash": {field.api_name: value, f"{field.api_name}_unformatted": value},
        }
