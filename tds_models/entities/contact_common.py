"""What customers and vendors have in common: both are Zoho contacts, told apart by `contact_type`."""

from tds_models.entities.declaration import Order, Stream
from tds_models.entities.field_modifiers import filtered, identifying, required
from tds_models.entities.fields import Field, Filter, at, custom, integer, number, refers, text

COMMON: tuple[Field, ...] = (
    identifying(filtered(required(text("name", "contact_name")), Filter.BEGINNING)),
    identifying(text("company_name")),
    filtered(text("status")),
    text("first_name", personal=True),
    text("last_name", personal=True),
    text("email", personal=True),
    text("phone", personal=True),
    text("mobile", personal=True),
    refers("currency_id", to=None),
    text("currency_code"),
    integer("payment_terms"),
    text("payment_terms_label"),
    custom(),
    at("source_created_at", "created_time"),
)

#: What Zoho copies of a contact into records that refer to it, by its keys, at any depth.
COPIED_KEYS: frozenset[str] = frozenset({
    "attention", "billing_address", "company_name", "contact", "contact_name", "contact_person_details",
    "contact_persons", "contact_persons_associated", "contact_persons_details", "customer_custom_field_hash",
    "customer_custom_fields", "customer_name", "email", "facebook", "fax", "first_name", "last_name", "mobile", "phone",
    "shipping_address", "skype", "twitter", "vendor_custom_fields", "vendor_name", "website",
})  # fmt: skip
#: Keys whose values a person is recognised by, wherever they stand: of an address its street, not its city.
RECOGNISED_BY: frozenset[str] = frozenset({
    "address", "attention", "company_name", "contact_name", "email", "facebook", "fax", "first_name", "last_name",
    "mobile", "name", "phone", "skype", "street", "street2", "twitter", "website",
})  # fmt: skip


def contact_stream(contact_type: str) -> Stream:
    """The contacts of one type."""
    return Stream(
        api="books",
        path="contacts",
        list_key="contacts",
        record_key="contact",
        id_key="contact_id",
        order=Order.DOCUMENTED,
        where={"contact_type": contact_type, "filter_by": "Status.All"},
        wrappers=("contact", contact_type),
        rule_module=contact_type,
        complete_with=("contact_id", "contact_name", "contact_type", "status", "last_modified_time"),
        kind=("contact_type", contact_type),
        kinds=("customer", "vendor"),
    )


def balance(name: str, key: str) -> Field:
    """What is owed: may be negative when somebody paid too much."""
    return number(name, key)
