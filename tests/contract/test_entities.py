"""The contract of every entity: what the source sends is what the declaration says, to the last digit."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, inspect, text

from tds_core.sources.zoho.refusals import NotUnderstoodError
from tds_core.sources.zoho.webhooks import parse
from tds_core.sync.candidate import Provenance, Seen, transform
from tds_core.sync.inbox import Delivery
from tds_models.entities import ENTITIES
from tds_models.entity import Entity, Increment
from tests.contract.plain import plain, records, rows
from tests.standin import StandIn
from tests.world import World


def read(entity: Entity, record: dict[str, Any], seen: Seen) -> Any:
    return transform(entity, msgspec.json.encode(record), seen=seen, provenance=Provenance("test"))


def webhook(record: Any, *, wrapper: str | None, entity: str | None = None) -> Delivery:
    body = msgspec.json.encode({wrapper: record} if wrapper else record)
    return parse(
        entity=entity,
        event="updated",
        content_type="application/json",
        body=body,
        query=[],
        form=None,
        headers={},
        correlation_id="c",
    )


def test_every_column_of_every_record_is_what_the_source_said(synced: World, standin: StandIn, entity: Entity) -> None:
    synced.run(entity.name, "full")
    mirrored = {row["source_id"]: row for row in synced.rows(f"select * from erp.{entity.name}")}
    sent = records(standin, entity)
    assert set(mirrored) == set(sent)
    for source_id, record in sent.items():
        shown = record if not entity.stream.list_is_complete else rows(standin, entity)[source_id]
        for field in entity.fields:
            assert mirrored[source_id][field.name] == plain(field, shown), (source_id, field.name)
        assert mirrored[source_id]["source_modified_at"].isoformat() == plain_time(record, entity)


def plain_time(record: dict[str, Any], entity: Entity) -> str:
    return datetime.fromisoformat(record[entity.stream.modified_key]).astimezone(UTC).isoformat()


def test_every_line_is_what_the_source_said_in_its_order(synced: World, standin: StandIn, entity: Entity) -> None:
    synced.run(entity.name, "full")
    for lines in entity.lines:
        table = entity.line_tables[lines.name].fullname
        kept: dict[str, list[Any]] = {}
        for row in synced.rows(f"select * from {table} order by parent_id, position"):
            kept.setdefault(row["parent_id"], []).append(row)
        for source_id, record in records(standin, entity).items():
            sent = record[lines.key]
            assert [row["position"] for row in kept.get(source_id, [])] == list(range(len(sent)))
            for row, line in zip(kept.get(source_id, []), sent, strict=True):
                assert row["line_id"] == line[lines.id_key]
                assert {f.name: row[f.name] for f in lines.fields} == {f.name: plain(f, line) for f in lines.fields}


def test_list_and_detail_agree_on_what_both_show(standin: StandIn, entity: Entity) -> None:
    details = records(standin, entity)
    for source_id, row in rows(standin, entity).items():
        listed, whole = read(entity, row, Seen.LIST), read(entity, details[source_id], Seen.DETAIL)
        shared = listed.values.keys() & whole.values.keys()
        assert {name: listed.values[name] for name in shared} == {name: whole.values[name] for name in shared}
        assert (listed.modified_at, listed.source_id) == (whole.modified_at, source_id)


def test_a_list_called_complete_shows_every_field_a_detail_shows(standin: StandIn, entity: Entity) -> None:
    details = records(standin, entity)
    for source_id, row in rows(standin, entity).items():
        listed, whole = read(entity, row, Seen.LIST), read(entity, details[source_id], Seen.DETAIL)
        lacking = whole.values.keys() - listed.values.keys() | whole.lines.keys() - listed.lines.keys()
        assert entity.stream.list_is_complete <= (not lacking), lacking


def test_the_source_sends_every_declared_key(standin: StandIn, entity: Entity) -> None:
    everything = [*records(standin, entity).values(), *rows(standin, entity).values()]
    sent = {key for record in everything for key in record}
    stream = entity.stream
    declared = {field.key for field in entity.fields} | {stream.id_key, stream.modified_key, *stream.complete_with}
    assert declared - sent == set()
    for lines in entity.lines:
        keys = {key for record in everything for line in record.get(lines.key, []) for key in line}
        assert {field.key for field in lines.fields} | {lines.id_key} <= keys


def test_every_wrapper_leads_to_its_entity_and_a_whole_body_is_whole(standin: StandIn, entity: Entity) -> None:
    source_id, record = next(iter(records(standin, entity).items()))
    assert entity.stream.wrappers
    for wrapper in entity.stream.wrappers:
        understood = webhook(record, wrapper=wrapper)
        assert (understood.entity, understood.source_id, understood.complete) == (entity.name, source_id, True)
    assert webhook(record, wrapper=None, entity=entity.name).entity == entity.name


def test_a_body_that_lacks_a_needed_key_is_not_taken_for_the_whole(standin: StandIn, entity: Entity) -> None:
    record = next(iter(records(standin, entity).values()))
    for key in set(entity.stream.complete_with) - {entity.stream.id_key}:
        part = {name: value for name, value in record.items() if name != key}
        assert not webhook(part, wrapper=None, entity=entity.name).complete, key
    with pytest.raises(NotUnderstoodError):
        webhook({k: v for k, v in record.items() if k != entity.stream.id_key}, wrapper=None, entity=entity.name)


def test_the_table_is_what_the_declaration_says(engine: Engine, entity: Entity) -> None:
    there = {column["name"]: str(column["type"]) for column in inspect(engine).get_columns(entity.name, schema="erp")}
    assert {field.name: there[field.name].lower() for field in entity.fields} == {
        field.name: {"timestamptz": "timestamp"}.get(field.kind.sql, field.kind.sql) for field in entity.fields
    }
    with engine.connect() as connection:
        checked = connection.execute(
            text("select pg_get_constraintdef(oid) from pg_constraint where conrelid = cast(:name as regclass)"),
            {"name": entity.table.fullname},
        )
        checks = " ".join(checked.scalars())
    for field in entity.fields:
        assert field.least is None or f"({field.name} >= " in checks


def test_a_reference_leads_to_an_entity_there_is(entity: Entity) -> None:
    for field in [*entity.fields, *(field for lines in entity.lines for field in lines.fields)]:
        assert field.refers_to is None or field.refers_to in ENTITIES


def test_names_are_ours_once_and_none_is_taken(entity: Entity) -> None:
    ours = [field.name for field in entity.fields] + [lines.name for lines in entity.lines]
    shared = {"source", "source_id", "source_modified_at", "source_record", "list_hash", "version", "created_at"}
    shared |= {"changed_at", "confirmed_at", "deleted_at", "gone", "whole", "confirmed", "record"}
    assert len(ours) == len(set(ours))
    assert not shared & set(ours)
    assert entity.priority in (2, 5, 8)


def test_an_increment_brings_only_what_changed(synced: World, standin: StandIn, entity: Entity) -> None:
    assert entity.stream.increment in Increment
    synced.run(entity.name, "full")
    versions = f"select sum(version)::int from erp.{entity.name}"
    before = synced.value(versions)
    source_id = next(iter(records(standin, entity)))
    changes = {"items": {"rate": 3.25}, "contacts": {"phone": "+964-770"}, "invoices": {"notes": "changed"}}
    standin.edit(entity.stream.path, source_id, **changes[entity.stream.path])
    synced.run(entity.name, "incremental")
    assert synced.value(versions) == before + 1
    record = records(standin, entity)[source_id]
    row = synced.row(entity.name, source_id)
    assert {f.name: row[f.name] for f in entity.fields} == {f.name: plain(f, record) for f in entity.fields}


def test_what_the_source_deletes_is_a_tombstone_after_a_full_pass(
    synced: World, standin: StandIn, entity: Entity
) -> None:
    synced.run(entity.name, "full")
    source_id = next(iter(records(standin, entity)))
    standin.delete(entity.stream.path, source_id)
    synced.run(entity.name, "full")
    dead = synced.rows(f"select source_id from erp.{entity.name} where deleted_at is not null")
    assert [row["source_id"] for row in dead] == [source_id]


def test_personal_fields_are_declared(entity: Entity) -> None:
    for field in entity.fields:
        looks_personal = field.key in {"email", "phone", "mobile", "first_name", "last_name"}
        assert field.personal >= looks_personal, field.name
