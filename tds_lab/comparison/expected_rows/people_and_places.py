"""Expected rows of customers, vendors, users and locations."""

from tds_lab.comparison.expected_columns import (
    CUSTOM_FIELDS,
    STAMPS,
    Columns,
    Expected,
    amount,
    flag,
    reference,
    same,
    text,
    whole,
)

_CONTACT: Columns = {
    "name": ("contact_name", text),
    **same(text, "company_name", "status", "first_name", "last_name", "email", "phone", "mobile", "currency_code"),
    **same(text, "payment_terms_label"),
    "currency_id": ("currency_id", reference),
    "payment_terms": ("payment_terms", whole),
    **CUSTOM_FIELDS,
    **STAMPS,
}
_CUSTOMER: Columns = {
    **_CONTACT,
    "customer_sub_type": ("customer_sub_type", text),
    "outstanding": ("outstanding_receivable_amount", amount),
    "unused_credits": ("unused_credits_receivable_amount", amount),
}
_VENDOR: Columns = {
    **_CONTACT,
    "outstanding": ("outstanding_payable_amount", amount),
    "unused_credits": ("unused_credits_payable_amount", amount),
}
_USER: Columns = {
    **same(text, "name", "email", "mobile", "user_type", "status"),
    "role_id": ("role_id", reference),
    "role": ("user_role", text),
}
_LOCATION: Columns = {
    "name": ("location_name", text),
    "type": ("type", text),
    # A location alone spells these two otherwise than the list that TDS reads.
    "status": ("is_location_active", lambda value: "active" if value else "inactive"),
    "is_primary": ("is_primary_location", flag),
    "parent_id": ("parent_location_id", reference),
}

PEOPLE = (
    Expected(
        entity="customer", plural="contacts", id_key="contact_id", columns=_CUSTOMER,
        single=("books/v3/contacts", "contact"), belongs=lambda record: bool(record["contact_type"] == "customer"),
    ),
    Expected(
        entity="vendor", plural="contacts", id_key="contact_id", columns=_VENDOR,
        single=("books/v3/contacts", "contact"), belongs=lambda record: bool(record["contact_type"] == "vendor"),
    ),
    Expected(entity="user", plural="users", id_key="user_id", columns=_USER, single=("books/v3/users", "user")),
    Expected(
        entity="location", plural="locations", id_key="location_id", columns=_LOCATION,
        single=("inventory/v1/locations", "location"),
    ),
)  # fmt: skip
