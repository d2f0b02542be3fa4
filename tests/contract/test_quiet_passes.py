"""A pass over an unchanged organisation writes nothing, however its doors spell nothing, times and numbers."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from tds_models.entity import Entity, Shows
from tests.standin import StandIn
from tests.world import World

NOTHING = ("", None)
#: Read by the stand-in or by the list's own order, not by the mirror alone.
KEPT = frozenset({"contact_type"})
ZONES = (0, 3, -8, 5.5)


def respelled(record: dict[str, Any], chance: random.Random, entity: Entity) -> dict[str, Any]:
    """The same record, spelled otherwise."""
    return {
        key: _value(value, chance, entity)
        for key, value in record.items()
        if key in KEPT or value not in NOTHING or isinstance(value, (int, float)) or chance.random() < 0.7
    }


def _value(value: Any, chance: random.Random, entity: Entity) -> Any:
    if isinstance(value, dict):
        return {key: _value(each, chance, entity) for key, each in value.items()}
    if isinstance(value, list):
        return [_value(each, chance, entity) for each in value]
    if value is None or value == "":
        return chance.choice(("", None, " "))
    if isinstance(value, bool) or not isinstance(value, (str, float, int)):
        return value
    if isinstance(value, str):
        return _moment(value, chance)
    return int(value) if value == int(value) and chance.random() < 0.5 else value


def _moment(value: str, chance: random.Random) -> str:
    if "T" not in value or len(value) != len("2026-11-01T12:00:00+0300"):
        return value
    zone = timezone(timedelta(hours=chance.choice(ZONES)))
    return datetime.fromisoformat(value).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S%z")


def respell(standin: StandIn, entity: Entity, seed: int) -> None:
    """Let both doors of `entity` spell the same otherwise from now on, each its own way."""
    chance = random.Random(seed)
    collection = standin.sandbox.world.collections[entity.stream.path]
    plain = collection.shape

    def otherwise(render: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        return lambda record: respelled(render(record), chance, entity)

    collection.shape = replace(
        plain, render_row=otherwise(plain.render_row), render_detail=otherwise(plain.render_detail)
    )
    for record in collection.records.values():
        record.row = record.detail = None


@pytest.mark.parametrize("seed", [1, 2])
def test_no_spelling_of_the_same_makes_a_version_or_a_reading(
    synced: World, standin: StandIn, entity: Entity, seed: int
) -> None:
    synced.run(entity.name, "full")
    told = synced.value("select count(*) from tds_audit_trail")
    for turn, mode in enumerate(("full", "incremental")):
        respell(standin, entity, seed * 10 + turn)
        standin.calls.clear()
        synced.run(entity.name, mode)
        changes = synced.rows("select changes, origin from tds_audit_trail order by id offset :told", told=told)
        assert changes == [], mode
        reads_all = entity.stream.list_shows is Shows.NONE or (
            entity.stream.list_shows is Shows.SOME and mode == "full"
        )
        details = [path for path in standin.calls if path.count("/") > 3 or path.endswith("itemdetails")]
        assert reads_all or details == [], mode
        assert synced.queue_depth(entity.name) == 0
    standing = synced.mirror(entity.name, "xmin::text")
    synced.run(entity.name, "incremental")
    assert synced.mirror(entity.name, "xmin::text") == standing or entity.stream.list_shows is Shows.NONE
