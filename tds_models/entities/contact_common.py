"""What customers and vendors have in common: both are Zoho contacts, told apart by `contact_type`."""

from tds_models.entities.declaration import Order, Stream
from tds_models.entities.field_modifiers import required
from tds_models.entities.fields import Field, at, custom, integer, number, refers, text

COMMON: tuple[Field, ...] = (
    required(text("name", "contact_name")),
    text("company_name"),
    text("status"),
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
