"""Category: the shelf a product is found on."""

from tds_models.entities.declaration import Entity, Increment, Stream
from tds_models.entities.field_modifiers import filtered, required, undetailed
from tds_models.entities.fields import Filter, boolean, refers, text

CATEGORY = Entity(
    name="category",
    title="Categories",
    priority=8,
    fields=undetailed(  # Zoho describes neither the list nor one category alone
        filtered(required(text("name")), Filter.BEGINNING),
        text("description"),
        refers("parent_id", to=None, key="parent_category_id"),  # the root has no record: it is called -1
        boolean("is_visible", "visibility"),
        filtered(text("status")),
    ),
    stream=Stream(
        api="inventory",
        path="categories",
        list_key="categories",
        record_key="category",
        id_key="category_id",
        right="settings",
        modified_key=None,
        increment=Increment.FULL,
    ),
)
