"""The contract of every declaration: what the source sends is what it says, and the table is made of it."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, inspect, text

from tds_core.inbox.receive import Delivery
from tds_core.records.transform import Provenance, RecordView, transform
from tds_core.sources.zoho.webhooks.errors import NotUnderstoodError
from tds_core.sources.zoho.webhooks.parser import parse
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity
from tds_models.entities.fields import CUSTOM
from tests.contract.choosing import each, is_announced
from tests.contract.plain import records, rows
from tests.support.standin import StandIn


def read(entity: Entity, record: dict[str, Any], view: RecordView) -> Any:
    return transform(entity, msgspec.json.encode(record), view=view, provenance=Provenance("test"))


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


def test_list_and_detail_agree_on_what_both_show(standin: StandIn, entity: Entity) -> None:
    details = records(standin, entity)
    for source_id, row in rows(standin, entity).items():
        listed, whole = read(entity, row, RecordView.LIST), read(entity, details[source_id], RecordView.DETAIL)
        shared = listed.values.keys() & whole.values.keys()
        assert {name: listed.values[name] for name in shared} == {name: whole.values[name] for name in shared}
        assert (listed.modified_at, listed.source_id) == (whole.modified_at, source_id)


def test_a_list_called_complete_shows_every_field_a_detail_shows(standin: StandIn, entity: Entity) -> None:
    details = records(standin, entity)
    for source_id, row in rows(standin, entity).items():
        listed, whole = read(entity, row, RecordView.LIST), read(entity, details[source_id], RecordView.DETAIL)
        # A row without any value of the organisation's own fields may leave them out: then the record is read.
        told = {name for name, value in whole.values.items() if name != "custom_fields" or value}
        lacking = told - listed.values.keys() | whole.lines.keys() - listed.lines.keys()
        assert entity.list_is_complete <= (not lacking), lacking


def test_the_source_sends_every_declared_key(standin: StandIn, entity: Entity) -> None:
    # What only the list of a record shows that is read in detail could never be kept up to date.
    stream, details = entity.stream, records(standin, entity)
    shown = rows(standin, entity) if entity.list_is_complete else details
    sent = {key for record in shown.values() for key in record}
    sent |= {field.key for field in entity.fields if field.older in sent}
    declared = {field.key for field in entity.fields if field.kind is not CUSTOM} | {stream.id_key}
    assert declared - sent == set()
    assert stream.modified_key in {None, *sent}
    assert set(stream.complete_with) <= {key for record in details.values() for key in record}
    for lines in entity.lines:
        keys = {key for record in details.values() for line in record[lines.key] for key in line}
        assert {field.key for field in lines.fields} | {lines.id_key} <= keys


@each(is_announced)
def test_every_wrapper_leads_to_its_entity_and_a_whole_body_is_whole(standin: StandIn, entity: Entity) -> None:
    source_id, record = next(iter(records(standin, entity).items()))
    assert entity.stream.wrappers
    for wrapper in entity.stream.wrappers:
        understood = webhook(record, wrapper=wrapper)
        assert (understood.entity, understood.source_id, understood.complete) == (entity.name, source_id, True)
    assert webhook(record, wrapper=None, entity=entity.name).entity == entity.name


@each(is_announced)
def test_the_stand_in_s_own_webhooks_are_understood(standin: StandIn, entity: Entity) -> None:
    shape = standin.sandbox.world.collections[entity.stream.path].shape
    source_id, record = next(iter(records(standin, entity).items()))
    understood = webhook(record, wrapper=shape.wrapper)
    assert (understood.entity, understood.source_id, understood.complete) == (entity.name, source_id, True)


@each(is_announced)
def test_a_body_that_lacks_a_needed_key_is_not_taken_for_the_whole(standin: StandIn, entity: Entity) -> None:
    record = next(iter(records(standin, entity).values()))
    for key in set(entity.stream.complete_with) - {entity.stream.id_key}:
        part = {name: value for name, value in record.items() if name != key}
        assert not webhook(part, wrapper=None, entity=entity.name).complete, key


@each(lambda entity: not is_announced(entity))
def test_what_zoho_never_announces_is_never_taken_for_the_whole(standin: StandIn, entity: Entity) -> None:
    assert (entity.stream.wrappers, entity.stream.complete_with) == ((), ())
    record = next(iter(records(standin, entity).values()))
    assert not webhook(record, wrapper=None, entity=entity.name).complete


def test_a_body_without_its_id_is_refused(standin: StandIn, entity: Entity) -> None:
    record = next(iter(records(standin, entity).values()))
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
    # An odd value is a finding; a constraint would keep its record out.
    assert "CHECK" not in checks


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


def test_personal_fields_are_declared(entity: Entity) -> None:
    for field in entity.fields:
        looks_personal = field.key in {"email", "phone", "mobile", "first_name", "last_name"}
        assert field.personal >= looks_personal, field.name
