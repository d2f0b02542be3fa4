"""What a column should hold, told from the source's JSON a second time and in the plainest way, to compare with."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tds_models.entities.declaration import Entity, Lines
from tds_models.entities.fields import Field
from tests.support.standin import StandIn
from tests.support.world import World


def spelled(number: Decimal | int) -> str:
    """A number where text is declared: without noughts behind its last digit."""
    whole, _, part = f"{Decimal(number):f}".partition(".")
    return f"{whole}.{part.rstrip('0')}".rstrip(".")


_READ = {
    "text": lambda raw: raw if isinstance(raw, str) else str(raw).lower() if isinstance(raw, bool) else spelled(raw),
    "number": lambda raw: Decimal(str(raw)),
    "integer": int,
    "boolean": lambda raw: str(raw).lower() == "true",
    "date": date.fromisoformat,
    "instant": lambda raw: datetime.fromisoformat(raw).astimezone(UTC),
    "reference": str,
    "json": lambda raw: raw or None,
}


def plain(field: Field, record: Mapping[str, Any]) -> Any:
    """The value `field` should have for `record`."""
    if field.kind.name == "custom":
        return custom_fields(record)
    raw = record.get(field.key)
    if raw is None and field.older:
        raw = field.older_means.get(record.get(field.older), record.get(field.older))
    if raw is None or raw == "":
        return None
    return _READ[field.kind.name](raw)


def custom_fields(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The organisation's own fields, which details keep together and rows spread."""
    shown = record.get("custom_field_hash") or {key: each for key, each in record.items() if key.startswith("cf_")}
    told = {key: each for key, each in shown.items() if not key.endswith("_unformatted") and each not in ("", None)}
    return {key: shown.get(f"{key}_unformatted", each) for key, each in told.items()} or None


def plain_row(entity: Entity, record: Mapping[str, Any]) -> dict[str, Any]:
    """The row `record` should have, with the time of its change."""
    modified = record[entity.stream.modified_key] if entity.stream.modified_key else None
    stamp = datetime.fromisoformat(modified).astimezone(UTC) if modified else None
    return {**{field.name: plain(field, record) for field in entity.fields}, "source_modified_at": stamp}


def plain_lines(lines: Lines, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines `record` should have, in their order."""
    return [
        {"position": at, "line_id": line[lines.id_key], **{field.name: plain(field, line) for field in lines.fields}}
        for at, line in enumerate(record[lines.key])
    ]


def mirrored_rows(world: World, entity: Entity) -> dict[str, dict[str, Any]]:
    """The living rows by id, as far as `plain_row` can tell what should be in them."""
    names = [*(field.name for field in entity.fields), "source_modified_at"]
    found = world.rows(f"select * from {entity.table.fullname} where deleted_at is null")
    return {row["source_id"]: {name: row[name] for name in names} for row in found}


def mirrored_lines(world: World, entity: Entity, lines: Lines) -> dict[str, list[dict[str, Any]]]:
    """The lines of living rows by the row's id, in their order."""
    names = ("position", "line_id", *(field.name for field in lines.fields))
    kept: dict[str, list[dict[str, Any]]] = {source_id: [] for source_id in mirrored_rows(world, entity)}
    table = entity.line_tables[lines.name].fullname
    for row in world.rows(f"select * from {table} order by parent_id, position"):
        if row["parent_id"] in kept:
            kept[row["parent_id"]].append({name: row[name] for name in names})
    return kept


def exact(raw: bytes | str) -> dict[str, Any]:
    """JSON without a float in it."""
    return json.loads(raw, parse_float=Decimal)


def records(standin: StandIn, entity: Entity) -> dict[str, dict[str, Any]]:
    """Every living record of `entity` in full, by id."""
    return _shown(standin, entity, standin.sandbox.world.collections[entity.stream.path].detail)


def rows(standin: StandIn, entity: Entity) -> dict[str, dict[str, Any]]:
    """Every living record of `entity` as lists show it, by id."""
    return _shown(standin, entity, standin.sandbox.world.collections[entity.stream.path].row)


def _shown(standin: StandIn, entity: Entity, show: Callable[[Any], bytes]) -> dict[str, dict[str, Any]]:
    kind = entity.stream.kind
    shown = [exact(show(record)) for record in standin.sandbox.world.collections[entity.stream.path].records.values()]
    return {each[entity.stream.id_key]: each for each in shown if kind is None or each[kind[0]] == kind[1]}
