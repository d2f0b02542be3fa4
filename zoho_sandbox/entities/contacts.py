"""Contacts: the customers and vendors of the organisation, one kind of record with a `contact_type`."""

from zoho_sandbox.organization import Organization, fixed_id
from zoho_sandbox.record import BOOKS, TIME_COLUMNS, Record, Rendered, Shape, number_key, state_facet, text_key

_ROW: Rendered = {
    "contact_id": "",
    "contact_name": "",
    "company_name": "",
    "website": "",
    "language_code": "en",
    "language_code_formatted": "English",
    "contact_type": "customer",
    "contact_type_formatted": "",
    "status": "active",
    "customer_sub_type": "business",
    "source": "user",
    "is_linked_with_zohocrm": False,
    "payment_terms": 0,
    "payment_terms_label": "Due on Receipt",
    "twitter": "",
    "facebook": "",
    "outstanding_receivable_amount": 0.0,
    "outstanding_receivable_amount_bcy": 0.0,
    "outstanding_payable_amount": 0.0,
    "outstanding_payable_amount_bcy": 0.0,
    "unused_credits_receivable_amount": 0.0,
    "unused_credits_receivable_amount_bcy": 0.0,
    "unused_credits_payable_amount": 0.0,
    "unused_credits_payable_amount_bcy": 0.0,
    "first_name": "",
    "last_name": "",
    "email": "",
    "phone": "",
    "mobile": "",
    "portal_status": "disabled",
    "created_time": "",
    "created_time_formatted": "",
    "last_modified_time": "",
    "last_modified_time_formatted": "",
    "ach_supported": False,
    "has_attachment": False,
}
_LIST_ONLY = ("contact_type_formatted", "created_time_formatted", "last_modified_time_formatted", "has_attachment")
_DETAIL = {key: value for key, value in _ROW.items() if key not in _LIST_ONLY} | {
    "designation": "",
    "department": "",
    "contact_salutation": "",
    "has_transaction": False,
    "owner_id": "",
    "owner_name": "",
    "documents": [],
    "price_precision": 2,
    "exchange_rate": "",
    "currency_symbol": "$",
    "opening_balance_amount": 0.0,
    "credit_limit": 0.0,
    "credit_limit_exceeded_amount": 0.0,
    "payment_reminder_enabled": True,
    "is_sms_enabled": True,
    "contact_category": "",
    "sales_channel": "direct_sales",
    "addresses": [],
    "pricebook_id": "",
    "pricebook_name": "",
    "cards": [],
    "checks": [],
    "bank_accounts": [],
    "notes": "",
    "tags": [],
    "created_by_name": "Sandbox",
    "default_templates": {"invoice_template_id": fixed_id(143), "invoice_template_name": "Standard"},
}
_INNER = frozenset({"city", "street", "zip", "cf"})
_COLUMNS = {
    **{name: text_key(name) for name in ("contact_name", "first_name", "last_name", "email")},
    "outstanding_receivable_amount": number_key("outstanding_receivable_amount"),
    **TIME_COLUMNS,
}
_STATUS_FILTERS = {
    "Status.Active": ("status", "active"),
    "Status.Inactive": ("status", "inactive"),
    "Status.Customers": ("contact_type", "customer"),
    "Status.Vendors": ("contact_type", "vendor"),
}


class _ContactWire:
    """Writes contacts as a list and as a detail show them."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self.currency = {"currency_id": organization.currency_id, "currency_code": organization.currency_code}

    def row(self, record: Record) -> Rendered:
        date = self.organization.clock.date
        field, value = self.organization.custom_fields["contacts"].api_name, record.state.get("cf", "")
        rendered = _ROW | self._own(record)
        rendered |= {
            "contact_type_formatted": rendered["contact_type"].capitalize(),
            "created_time_formatted": date(record.created),
            "last_modified_time_formatted": date(record.modified),
        }
        return rendered | ({field: value, f"{field}_unformatted": value} if value else {})

    def detail(self, record: Record) -> Rendered:
        state = record.state
        rendered = _DETAIL | self._own(record)
        rendered["billing_address"] = _address(record, "billing")
        rendered["shipping_address"] = _address(record, "shipping")
        rendered["primary_contact_id"] = str(int(record.id) + 1)
        rendered["contact_persons"] = [_person(record)] if state.get("email") or state.get("phone") else []
        return rendered

    def _own(self, record: Record) -> Rendered:
        state, clock = record.state, self.organization.clock
        rendered = {key: value for key, value in state.items() if key not in _INNER} | self.currency
        rendered |= {
            "contact_id": record.id,
            f"{state['contact_type']}_name": state["contact_name"],
            "created_time": clock.stamp(record.created),
            "last_modified_time": clock.stamp(record.modified),
        }
        return rendered | self.organization.custom_parts("contacts", state.get("cf", ""))


def contact_shape(organization: Organization) -> Shape:
    """The shape of contacts as `organization` keeps them."""
    wire = _ContactWire(organization)
    return Shape(
        name="contacts",
        plural="contacts",
        singular="contact",
        wrapper="contact",
        noun="Contact",
        id_key="contact_id",
        report_name="Contacts",
        default_sort="contact_name",
        columns=_COLUMNS,
        sortable=frozenset(_COLUMNS),
        facets={name: state_facet(name) for name in ("status", "contact_type", "contact_name", "email", "phone")},
        status_filters=_STATUS_FILTERS,
        contains={"contact_name_contains": "contact_name", "email_contains": "email"},
        search=("contact_name", "company_name", "email", "phone"),
        render_row=wire.row,
        render_detail=wire.detail,
        rule_module=lambda record: str(record.state["contact_type"]),
        incremental=frozenset({BOOKS}),
        name_key="contact_name",
    )


def _address(record: Record, kind: str) -> Rendered:
    state = record.state
    return {
        "address_id": str(int(record.id) + (2 if kind == "billing" else 3)),
        "attention": "",
        "address": state.get("street", ""),
        "street2": "",
        "city": state.get("city", ""),
        "state_code": "",
        "state": "",
        "zip": state.get("zip", ""),
        "country": "Iraq",
        "country_code": "IQ",
        "phone": state.get("phone", ""),
        "fax": "",
    }


def _person(record: Record) -> Rendered:
    state = record.state
    return {
        "contact_person_id": str(int(record.id) + 1),
        "salutation": "",
        **{key: state.get(key, "") for key in ("first_name", "last_name", "email", "phone", "mobile")},
        "is_primary_contact": True,
        "is_added_in_portal": False,
    }
