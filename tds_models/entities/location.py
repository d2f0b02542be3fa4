"""Location: a shop, office or warehouse that stock and documents belong to."""

from tds_models.entities.declaration import Entity, Increment, OlderList, Shows, Stream
from tds_models.entities.field_modifiers import filtered, older, required, unlisted
from tds_models.entities.fields import Filter, boolean, refers, text

LOCATION = Entity(
    name="location",
    title="Locations",
    priority=8,
    fields=(
        filtered(required(older("warehouse_name", text("name", "location_name"))), Filter.BEGINNING),
        text("type"),
        # Lists show neither; a location alone spells them its own way.
        *unlisted(
            older("is_location_active", filtered(text("status")), means={True: "active", False: "inactive"}),
            older("is_primary_location", boolean("is_primary")),
        ),
        refers("parent_id", to="location", key="parent_location_id"),
    ),
    stream=Stream(
        api="inventory",  # Books does not show one alone
        path="locations",
        list_key="locations",
        record_key="location",
        id_key="location_id",
        right="settings",
        modified_key=None,
        increment=Increment.FULL,
        list_shows=Shows.SOME,  # not whether one is active
        older=OlderList(path="settings/warehouses", list_key="warehouses", id_key="warehouse_id"),
    ),
)
