"""Any JSON value in any declared key by any door: the right value, or none and a finding; and its neighbour goes in.

What is right is said here a second time and in another way, without the product's readers.
"""

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from tds_core.database_errors import refuses
from tds_core.queue.items import database_clock
from tds_core.records.transform import Provenance
from tds_core.sources.base import ListedRow
from tds_core.sources.zoho.webhooks.errors import NotUnderstoodError
from tds_core.sources.zoho.webhooks.parser import parse
from tds_core.sync.bulk_insert import MIN_COPY_ROWS
from tds_core.sync.page_apply import apply_page, diff_page
from tds_core.sync.page_commit import isolate_bad_rows
from tds_models.db import session_scope
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.field_values import CUSTOM_KEY
from tds_models.entities.fields import Field, custom
from tests.support.world import ScriptedSource, World, at

NUMBERS = itertools.count(460000000000001)
HOLE = "\N{MIDDLE DOT}hole\N{MIDDLE DOT}"

LOOKALIKES = [
    "", " ", "\n\t", "0", "12.50", "-7", "9,99", "1.234,56", "12,5", "1,234", "1,234.50", "1,234,567", "5%", "70 %",
    "1e5", "1e400", "NaN", "Infinity", "1_000", "٩٩", "IQD 12", "true", "False", "yes", "1", "2026-11-22", "2026-02-30",
    "22/11/2026", "20261122", "2026-11-22T09:30:00+0300", "2026-11-22T23:30:00Z", "2026-11-22T09:30:00", "soon",
    "0001-01-01T00:00:00+0300", "\x00", "a\x00b", "\ud83d", "\udc00\ud83d", "\U0001f69a", "قهوة", "\\u0000", "7" * 250,
]  # fmt: skip
SPELLED = ["0.10", "1e2", "-0.0", "0E-10", "1e400", "1e99999", "1e-40", "12345678901234567890.123456789", "9" * 400]
TEXTS = st.sampled_from(LOOKALIKES) | st.text(st.characters(), max_size=6)
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.decimals(-1000, 1000, places=3).map(float) | TEXTS
)  # fmt: skip
NESTED = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "name", "id"]), inner, max_size=3)
    ),
    max_leaves=4,
)
ANY = NESTED.map(json.dumps) | st.sampled_from(SPELLED)


@dataclass(frozen=True)
class Place:
    """A declared key: of the record (`lines` empty), of its second line, or of the organisation's own fields."""

    field: Field
    lines: str = ""
    key: str = ""
    is_own: bool = False


def places(entity: Entity) -> list[Place]:
    found = [Place(field) for field in entity.fields]
    found += [Place(field, lines.name, lines.key) for lines in entity.lines for field in lines.fields]
    return found + [Place(field, is_own=True) for field in entity.fields if field.key == CUSTOM_KEY]


def record(entity: Entity, source_id: str, place: Place | None = None, raw: str = "null") -> bytes:
    """A whole record with `raw` at `place`."""
    stream = entity.stream
    whole: dict[str, Any] = {stream.id_key: source_id, **dict.fromkeys(stream.complete_with), stream.id_key: source_id}
    whole |= {lines.key: [{lines.id_key: f"{n}", "name": f"Line {n}"} for n in range(3)] for lines in entity.lines}
    if stream.modified_key:
        whole[stream.modified_key] = at(0).isoformat()
    if stream.kind:
        whole[stream.kind[0]] = stream.kind[1]
    if place is None:
        whole |= {field.key: "Neighbour" for field in entity.fields if field.name == "name"}
    elif place.is_own:
        whole[CUSTOM_KEY] = {"cf_x": HOLE, "cf_sound": "sound"}
    elif place.lines:
        whole[place.key][1][place.field.key] = HOLE
    else:
        whole[place.field.key] = HOLE
    return json.dumps(whole).replace(json.dumps(HOLE), raw).encode()


# What is right, said once more.
NOTHING, UNREADABLE = "nothing", "unreadable"


def storable(value: Any) -> bool:
    """Whether PostgreSQL can keep all of a value."""
    if isinstance(value, str):
        return "\x00" not in value and not re.search("[\ud800-\udfff]", value)
    if isinstance(value, Decimal):
        return abs(value.adjusted()) < 999 and len(value.as_tuple().digits) <= 200
    if isinstance(value, Mapping):
        return all(map(storable, value.values()))
    return all(map(storable, value)) if isinstance(value, list) else True


def right(field: Field, value: Any, *, is_own: bool = False) -> set[Any]:
    """All that may stand in the column of `field` for `value`, or NOTHING, or UNREADABLE: both are NULL."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return {NOTHING}
    if not storable(value):
        return {UNREADABLE}
    if is_own or field.kind.name == "json":
        if value in ([], {}):
            return {NOTHING}
        is_odd = is_own and isinstance(value, Decimal) and value and abs(value.adjusted()) > 30
        return {UNREADABLE} if is_odd else {as_json(value)}
    return RIGHT[field.kind.name](value, field.key)


def right_number(value: Any, key: str) -> set[Any]:
    if isinstance(value, str) and "percentage" in key and value.strip().endswith("%"):
        value = value.strip()[:-1]
    if isinstance(value, str):
        plain = re.fullmatch(r"-?[0-9]+(\.[0-9]+)?|-?[0-9]{1,3}(,[0-9]{3})+\.[0-9]+", value.strip())
        if plain:
            value = Decimal(value.replace(",", ""))
        elif re.fullmatch(r"[0-9]{1,3}(,[0-9]{3}){2,}", value):
            return {Decimal(value.replace(",", "")), UNREADABLE}
        else:
            try:
                return {Decimal(value.strip()), UNREADABLE} if value.isascii() and "_" not in value else {UNREADABLE}
            except InvalidOperation:
                return {UNREADABLE}
    if not isinstance(value, Decimal):
        return {UNREADABLE}
    return {value} if not value or abs(value.adjusted()) <= 30 else {UNREADABLE}


def right_integer(value: Any, key: str) -> set[Any]:
    found = right_number(value, key)
    whole = {each for each in found if isinstance(each, Decimal) and each == each.to_integral_value()}
    return {int(each) for each in whole if -(2**63) <= each < 2**63} | (found - whole and {UNREADABLE}) or {UNREADABLE}


def right_text(value: Any, key: str) -> set[Any]:
    if isinstance(value, bool):
        return {str(value).lower()}
    if isinstance(value, Decimal):
        return {spelled(value)} if not value or abs(value.adjusted()) <= 30 else {UNREADABLE}
    if not isinstance(value, str):
        return {UNREADABLE}
    amount, sign = (value.strip()[:-1], "%") if value.strip().endswith("%") else (value, "")
    amounts = right_number(amount.strip(), key) if "discount" in key else set()
    return {value, *(f"{spelled(each)}{sign}" for each in amounts if isinstance(each, Decimal) and each.is_finite())}


def spelled(number: Decimal) -> str:
    """Without noughts behind the last digit."""
    whole, _, part = f"{number:f}".partition(".")
    return f"{whole}.{part.rstrip('0')}".rstrip(".") if number else "0"


def right_reference(value: Any, key: str) -> set[Any]:
    if isinstance(value, str):
        return {value} if len(value) <= 200 else {UNREADABLE}
    is_id = isinstance(value, Decimal) and value == value.to_integral_value()  # 1e2 is 100, once PostgreSQL kept it
    return {f"{value:f}", UNREADABLE} if is_id else {UNREADABLE}


def right_boolean(value: Any, key: str) -> set[Any]:
    told = {"true": True, "false": False, "1": True, "0": False}
    return {told.get(str(value).lower() if not isinstance(value, Decimal) else spelled(value), UNREADABLE)}


def right_date(value: Any, key: str) -> set[Any]:
    found = re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(T.*)?", value) if isinstance(value, str) else None
    try:
        day = date.fromisoformat(found[1]) if found else UNREADABLE
    except ValueError:
        return {UNREADABLE}
    return {day} if found and not found[2] else {day, UNREADABLE}


def right_instant(value: Any, key: str) -> set[Any]:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9-]{10}T[0-9:]{8}(Z|[+-][0-9]{4})", value):
        return {UNREADABLE}
    try:
        return {datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z").astimezone(UTC)}
    except (ValueError, OverflowError):
        return {UNREADABLE}


OWN = custom()


def right_custom(value: Any, key: str) -> set[Any]:
    if value == []:
        return {NOTHING}
    if not isinstance(value, dict):
        return {UNREADABLE}
    said = {name: each for name, each in value.items() if right(OWN, each, is_own=True) != {NOTHING}}
    return {as_json(said) if said else NOTHING}


def as_json(value: Any) -> str:
    """JSON in one spelling."""
    return json.dumps(value, default=spelled, sort_keys=True)


RIGHT = {
    "text": right_text, "number": right_number, "integer": right_integer, "reference": right_reference,
    "boolean": right_boolean, "date": right_date, "instant": right_instant, "custom": right_custom,
}  # fmt: skip


# The doors.
def by_body(world: World, source: ScriptedSource, entity: Entity, raws: Mapping[str, bytes]) -> None:
    """As webhooks; the source knows no more than they said."""
    understood = []
    for raw in raws.values():
        try:
            understood.append(
                parse(
                    entity=entity.name,
                    event="updated",
                    content_type="application/json",
                    body=raw,
                    query=[],
                    form=None,
                    headers={},
                    correlation_id="c",
                )
            )
        except NotUnderstoodError:
            assume(False)  # set aside with its reason, at the door
    try:
        world.deliver(*understood, window_seconds=0)
    except DBAPIError as error:
        assume(not refuses(error))  # refused with its reason, at the door
        raise
    source.records = {key: msgspec.Raw(raw) for key, raw in raws.items()}  # type: ignore[misc]
    world.drain(entity.name)


def by_list(world: World, source: ScriptedSource, entity: Entity, raws: Mapping[str, bytes]) -> None:
    """As rows of one page."""
    rows = [ListedRow(key, at(0), raw) for key, raw in raws.items()]
    known_keys = {"": frozenset[str](), **{lines.name: frozenset[str]() for lines in entity.lines}}
    with session_scope(world.engine) as session:
        prepared = diff_page(
            session, entity, rows, read_at=database_clock(session), provenance=Provenance("run", 7, "c"),
            pending_hashes={}, thorough=False, known_keys=known_keys,
        )  # fmt: skip
    try:
        with session_scope(world.engine) as session:
            apply_page(session, entity, prepared, correlation_id="c")
    except DBAPIError as error:
        assert refuses(error)
        with session_scope(world.engine) as session:
            apply_page(session, entity, isolate_bad_rows(session, entity, prepared), correlation_id="c")
    world.execute("delete from tds_sync_queue")


def by_detail(world: World, source: ScriptedSource, entity: Entity, raws: Mapping[str, bytes]) -> None:
    """As single records that were asked for."""
    source.records = {key: msgspec.Raw(raw) for key, raw in raws.items()}  # type: ignore[misc]
    world.enqueue(entity.name, *raws, must_read=True)
    world.drain(entity.name)


DOORS = {"body": by_body, "list": by_list, "detail": by_detail}


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=lambda each: each.name)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_in_any_declared_key_by_any_door_is_right_or_null_with_a_finding(
    world: World, source: ScriptedSource, entity: Entity, data: st.DataObject
) -> None:
    doors = [name for name in DOORS if name != "body" or entity.stream.wrappers]
    door, place = data.draw(st.sampled_from(doors)), data.draw(st.sampled_from(places(entity)))
    raw, crowd = data.draw(ANY), data.draw(st.sampled_from([1, MIN_COPY_ROWS])) if door == "list" else 1
    source_id, *others = (str(next(NUMBERS)) for _ in range(1 + crowd))
    raws = {source_id: record(entity, source_id, place, raw), **{each: record(entity, each) for each in others}}
    DOORS[door](world, source, entity, raws)
    living = world.mirror(entity.name, "source_id")
    assert {*others} <= living.keys(), "a neighbour stands still"
    assert source_id in living, world.rows(
        "select error from tds_dead_letter_queue where source_id = :id", id=source_id
    )
    value = json.loads(raw, parse_float=Decimal, parse_int=Decimal)
    allowed = right(place.field, value, is_own=place.is_own)
    found = standing(world, entity, place, source_id)
    told = world.rows(
        "select detail from tds_findings where kind = 'unreadable_value' and detail ->> 'source_id' = :id and"
        " resolved_at is null",
        id=source_id,
    )
    if found is None:
        assert allowed & {NOTHING, UNREADABLE}
        assert (UNREADABLE in allowed and allowed != {NOTHING}) == bool(told), told
        assert all(each["detail"]["reason"] and place.field.key in each["detail"]["key"] for each in told)
    elif allowed == {UNREADABLE} and isinstance(value, (list, dict)):
        assert told  # of a nested value only what cannot be kept is left out
    else:
        assert found in allowed
        assert not told


def standing(world: World, entity: Entity, place: Place, source_id: str) -> Any:
    """What the mirror has at `place`; nested values as JSON text with sorted keys."""
    given_ = {"id": source_id}
    if place.lines:
        table = entity.line_tables[place.lines].fullname
        lines = world.rows(f"select {_exact(place.field)} as v from {table} where parent_id = :id order by position",
                           **given_)  # fmt: skip
        assert len(lines) == 3
        found = lines[1]["v"]
    elif place.is_own:
        own = "custom_fields ->> 'cf_sound' as sound, (custom_fields -> 'cf_x')::text as v"
        row = world.one(f"select {own} from {entity.table.fullname} where source_id = :id", **given_)
        assert row["sound"] == "sound"
        found = row["v"]
    else:
        found = world.value(
            f"select {_exact(place.field)} from {entity.table.fullname} where source_id = :id", **given_
        )
    if found is None or place.field.kind.sql != "jsonb":
        return found
    return as_json(json.loads(found, parse_float=Decimal, parse_int=Decimal))


def _exact(field: Field) -> str:
    return f"{field.name}::text" if field.kind.sql == "jsonb" else field.name
