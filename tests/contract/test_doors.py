"""What each door of a record shows: the declarations, the stand-in and the descriptions of Zoho's API say the same."""

import json
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.field_values import CUSTOM_PREFIX
from tds_models.entities.fields import CUSTOM, Field
from tests.contract.documented import TABLE, distil
from tests.support.standin import SMALL, StandIn, serving
from zoho_sandbox.entities.undocumented_fields import UNDESCRIBED

DOCUMENTED = json.loads(TABLE.read_text())
DOORS = ("list", "detail")
#: What any detail may show, and any list row: an organisation's own fields.
OWN_FIELDS = {"custom_fields", "custom_field_hash"}


def documented(entity: Entity, door: str) -> set[str]:
    return set(DOCUMENTED[entity.stream.path][door][""])


def is_shown(field: Field, keys: set[str]) -> bool:
    return field.kind is CUSTOM or bool({field.key, field.older} & keys)


def test_a_field_is_declared_to_be_listed_where_list_rows_are_described_with_it(entity: Entity) -> None:
    described = documented(entity, "list")
    undescribed = UNDESCRIBED.get((entity.stream.path, "list"), frozenset())
    for field in entity.fields:
        assert field.listed is is_shown(field, described | undescribed), field.name
    assert entity.list_is_complete is (not entity.lines and all(field.listed for field in entity.fields))


def test_a_field_is_declared_to_be_in_details_where_they_are_described_with_it(entity: Entity) -> None:
    described = documented(entity, "detail")
    for field in entity.fields:
        expected = is_shown(field, described) if described or field.kind is not CUSTOM else False
        assert field.detailed is expected, field.name
    for lines in entity.lines:
        assert lines.detailed is bool({lines.key, lines.older} & described), lines.name


def shown(standin: StandIn, entity: Entity, door: str) -> dict[str, set[str]]:
    """The keys the stand-in shows, of the header ("") and of the lines."""
    collection = standin.sandbox.world.collections[entity.stream.path]
    show = collection.row if door == "list" else collection.detail
    keys: dict[str, set[str]] = {"": set()}
    for record in map(msgspec.json.decode, map(show, collection.records.values())):
        keys[""] |= set(record)
        for lines in entity.lines:
            for line in record.get(lines.key) or ():
                keys.setdefault(lines.key, set()).update(line)
    return keys


def beyond(keys: set[str], described: set[str]) -> set[str]:
    """Keys that neither the description has nor what is said of all: spelled twins, an organisation's own fields."""
    usual = {key for key in keys if key.endswith("_formatted") or key.startswith(CUSTOM_PREFIX)}
    return keys - described - usual


@pytest.mark.parametrize("door", DOORS)
def test_the_stand_in_shows_only_what_is_described_and_the_exceptions_it_names(
    standin: StandIn, entity: Entity, door: str
) -> None:
    path = entity.stream.path
    for part, keys in shown(standin, entity, door).items():
        described = set(DOCUMENTED[path][door].get(part, ()))
        if not part:
            described |= UNDESCRIBED.get((path, door), frozenset()) | (OWN_FIELDS if door == "detail" else set())
        elif not described:
            continue  # of lines nobody describes there is nothing to say
        assert beyond(keys, described) == set(), (part, door)


def test_list_rows_say_what_details_say_of_what_both_are_declared_to_show(standin: StandIn, entity: Entity) -> None:
    collection = standin.sandbox.world.collections[entity.stream.path]
    both = [field for field in entity.fields if field.listed and field.detailed and field.kind is not CUSTOM]
    for record in collection.records.values():
        row, detail = msgspec.json.decode(collection.row(record)), msgspec.json.decode(collection.detail(record))
        for field in both:
            if field.key in detail:
                assert row.get(field.key, row.get(field.older)) == detail[field.key], field.name


def test_without_its_exceptions_the_stand_in_shows_nothing_that_is_not_described() -> None:
    with serving(msgspec.structs.replace(SMALL, undescribed_keys=False)) as plain:
        for entity in ENTITIES.values():
            for door in DOORS:
                keys = shown(plain, entity, door)[""]
                allowed = documented(entity, door) | (OWN_FIELDS if door == "detail" else set())
                assert beyond(keys, allowed) == set(), (entity.name, door)


def test_each_exception_is_one(standin: StandIn) -> None:
    for (path, door), keys in UNDESCRIBED.items():
        assert not keys & set(DOCUMENTED[path][door][""]), (path, door)


def test_a_door_that_shows_more_than_is_described_is_seen(standin: StandIn) -> None:
    collection = standin.sandbox.world.collections["items"]
    whole = collection.shape.render_row
    collection.shape = replace(collection.shape, render_row=lambda record: whole(record) | {"category_id": "1"})
    for record in collection.records.values():
        record.row = None
    keys = shown(standin, ENTITIES["product"], "list")[""]
    assert beyond(keys, documented(ENTITIES["product"], "list")) == {"category_id"}


FOLDER = os.environ.get("ZOHO_DESCRIPTIONS", "")


def test_the_table_is_what_the_descriptions_say_where_they_are_at_hand() -> None:
    if FOLDER:
        assert distil(Path(FOLDER)) == DOCUMENTED
    assert {path: set(doors) for path, doors in DOCUMENTED.items()} == {
        entity.stream.path: set(DOORS) for entity in ENTITIES.values()
    }
