"""What a column should hold, told from the source's JSON a second time and in the plainest way, to compare with."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tds_models.entity import Entity
from tds_models.fields import Field
from tests.standin import StandIn

_READ = {
    "text": lambda raw: raw if isinstance(raw, str) else str(raw).lower() if isinstance(raw, bool) else str(raw),
    "number": lambda raw: Decimal(str(raw)),
    "integer": int,
    "boolean": lambda raw: str(raw).lower() == "true",
    "date": date.fromisoformat,
    "instant": lambda raw: datetime.fromisoformat(raw).astimezone(UTC),
    "reference": str,
    "json": lambda raw: raw,
}


def plain(field: Field, record: Mapping[str, Any]) -> Any:
    """The value `field` should have for `record`."""
    raw = record.get(field.key)
    if raw is None or (raw == "" and field.kind.name != "text"):
        return None
    return _READ[field.kind.name](raw)


def exact(raw: bytes | str) -> dict[str, Any]:
    """JSON without a float in it."""
    return json.loads(raw, parse_float=Decimal)


def records(standin: StandIn, entity: Entity) -> dict[str, dict[str, Any]]:
    """Every living record of `entity` in full, by id."""
    collection = standin.sandbox.world.collections[entity.stream.path]
    kind = entity.stream.kind
    details = [exact(collection.detail(record)) for record in collection.records.values()]
    return {each[entity.stream.id_key]: each for each in details if kind is None or each[kind[0]] == kind[1]}


def rows(standin: StandIn, entity: Entity) -> dict[str, dict[str, Any]]:
    """Every living record of `entity` as lists show it, by id."""
    collection = standin.sandbox.world.collections[entity.stream.path]
    kind = entity.stream.kind
    shown = [exact(collection.row(record)) for record in collection.records.values()]
    return {each[entity.stream.id_key]: each for each in shown if kind is None or each[kind[0]] == kind[1]}
