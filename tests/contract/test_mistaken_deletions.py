"""A record that became a tombstone by mistake lives again with the next full pass, whose list shows it."""

from collections.abc import Mapping
from typing import Any

import pytest

from tds_core.processing.related_entities import siblings_of
from tds_models.entities.declaration import Entity
from tests.support.standin import StandIn
from tests.support.world import World, delivery
from zoho_sandbox.api_faults import Appointment


def deny(standin: StandIn, entity: Entity) -> None:
    """Let each detail of this entity's records be answered with 404."""
    older = entity.stream.older.path if entity.stream.older else f"{entity.stream.path}/"
    for path in (f"{entity.stream.path}/", "itemdetails", older):
        for api in ("books/v3", "inventory/v1"):
            standin.sandbox.faults.appoint(
                Appointment("refusal", 0, f"/{api}/{path}", status=404, code=1002, message="It does not exist.")
            )


def by_reading(world: World, standin: StandIn, entity: Entity, record_id: str) -> None:
    deny(standin, entity)
    world.enqueue(entity.name, record_id)
    world.drain(entity.name)


def by_webhook(world: World, standin: StandIn, entity: Entity, record_id: str) -> None:
    deny(standin, entity)
    record = {entity.stream.id_key: record_id}
    world.deliver(delivery(entity.name, record, event="deleted", complete=False))
    world.drain(entity.name)


def by_sweep(world: World, standin: StandIn, entity: Entity, record_id: str) -> None:
    """A list that misses the record for once, and a detail that denies it."""
    collection = standin.sandbox.world.collections[entity.stream.path]
    record = collection.records[record_id]
    standin.delete(entity.stream.path, record_id)
    world.run(entity.name, "full")
    with standin.sandbox.world.lock:
        collection.replace(None, record)


def by_hand(world: World, _standin: StandIn, entity: Entity, record_id: str) -> None:
    world.execute(f"update erp.{entity.name} set deleted_at = now() where source_id = :id", id=record_id)


def standing(world: World, entity: Entity) -> Mapping[str, Any]:
    """What the living rows say, and how many lines they have."""
    columns = ", ".join(each.name for each in entity.fields)
    lines = {table.name: world.value(f"select count(*) from erp.{table.name}") for table in entity.line_tables.values()}
    return {**world.mirror(entity.name, columns), **lines}


@pytest.mark.parametrize("mistake", [by_reading, by_webhook, by_sweep, by_hand])
def test_it_lives_again(synced: World, standin: StandIn, entity: Entity, mistake: Any) -> None:
    for each in (entity, *siblings_of(entity.name)):
        synced.run(each.name, "full")
    before = standing(synced, entity)
    record_id = sorted(synced.mirror(entity.name, "source_id"))[2]
    mistake(synced, standin, entity, record_id)
    standin.sandbox.faults.clear()
    assert synced.row(entity.name, record_id)["deleted_at"] is not None
    synced.run(entity.name, "full")
    assert synced.row(entity.name, record_id)["deleted_at"] is None
    assert standing(synced, entity) == before
    for each in siblings_of(entity.name):
        assert synced.row(each.name, record_id)["deleted_at"] is None
