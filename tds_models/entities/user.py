"""User: a user account of the Zoho organisation."""

from tds_models.entities.declaration import Entity, Increment, Stream
from tds_models.entities.field_modifiers import filtered, identifying, required, undetailed
from tds_models.entities.fields import Filter, refers, text

USER = Entity(
    name="user",
    title="Users",
    priority=8,
    fields=(
        identifying(filtered(required(text("name")), Filter.BEGINNING)),
        *undetailed(text("email", personal=True), text("mobile", personal=True)),
        refers("role_id", to=None),
        text("role", "user_role"),
        text("user_type"),
        filtered(text("status")),
    ),
    stream=Stream(
        api="books",
        path="users",
        list_key="users",
        record_key="user",
        id_key="user_id",
        where={"filter_by": "Status.All"},
        right="settings",
        modified_key=None,
        increment=Increment.FULL,
    ),
)
