"""The contract of every entity: what comes over is what the source says, to the last digit, whichever way."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from sqlalchemy import Engine

from tds_core.inbox.receive import Delivery
from tds_core.processing.related_entities import siblings_of
from tds_core.sources.zoho.webhooks.parser import parse
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity, Shows
from tests.contract.choosing import each, has_custom_fields, is_announced
from tests.contract.edits import change, change_unseen, clear_custom_field
from tests.contract.plain import mirrored_lines, mirrored_rows, plain_lines, plain_row, records, rows
from tests.support.standin import StandIn
from tests.support.webhook_sender import sender_for
from tests.support.world import World


def assert_equal(synced: World, standin: StandIn, entity: Entity, *, by_webhook: bool = False) -> None:
    """The mirror holds what the source does, and nothing else: rows, their times, and their lines in order."""
    whole = by_webhook or not entity.list_is_complete
    shown = records(standin, entity) if whole else rows(standin, entity)
    assert mirrored_rows(synced, entity) == {key: plain_row(entity, record) for key, record in shown.items()}
    for lines in entity.lines:
        assert mirrored_lines(synced, entity, lines) == {key: plain_lines(lines, each) for key, each in shown.items()}


API = {"books": "books/v3", "inventory": "inventory/v1"}


def versions(synced: World, entity: Entity) -> dict[str, int]:
    return {row["source_id"]: row["version"] for row in synced.rows(f"select * from {entity.table.fullname}")}


def test_a_full_pass_brings_every_record_with_every_line(synced: World, standin: StandIn, entity: Entity) -> None:
    synced.run(entity.name, "full")
    assert records(standin, entity)
    assert_equal(synced, standin, entity)


@each(lambda entity: entity.header_first)
def test_list_rows_are_in_the_mirror_before_any_record_was_read(
    synced: World, standin: StandIn, entity: Entity
) -> None:
    synced.run(entity.name, "full", drains=False)
    assert mirrored_rows(synced, entity).keys() == records(standin, entity).keys()
    assert synced.value(f"select count(lines_confirmed_at) from {entity.table.fullname}") == 0
    assert synced.queue_depth(entity.name) == len(records(standin, entity))


def test_a_second_full_pass_writes_neither_row_nor_history(synced: World, standin: StandIn, entity: Entity) -> None:
    synced.run(entity.name, "full")
    before, told = versions(synced, entity), synced.value("select count(*) from tds_audit_trail")
    synced.run(entity.name, "full")
    assert versions(synced, entity) == before
    assert synced.value("select count(*) from tds_audit_trail") == told
    assert synced.queue_depth(entity.name) == 0


@each(lambda entity: entity.header_first)
def test_what_was_read_whole_is_known_to_be_so_whether_it_brought_news_or_not(
    synced: World, standin: StandIn, entity: Entity
) -> None:
    synced.run(entity.name, "full")
    assert synced.value(f"select count(*) from {entity.table.fullname} where lines_confirmed_at is null") == 0
    synced.execute(f"update {entity.table.fullname} set lines_confirmed_at = null")  # no news is to come
    before = versions(synced, entity)
    synced.enqueue(entity.name, *before)
    synced.drain(entity.name)
    assert versions(synced, entity) == before
    assert synced.value(f"select count(*) from {entity.table.fullname} where lines_confirmed_at is null") == 0


@each(lambda entity: entity.header_first and entity.stream.list_shows is not Shows.NONE)
def test_a_quiet_incremental_pass_reads_no_detail_and_the_next_writes_nothing_at_all(
    synced: World, standin: StandIn, entity: Entity
) -> None:
    synced.run(entity.name, "full")
    for _ in range(2):
        standin.calls.clear()
        standing = synced.mirror(entity.name, "xmin::text")
        synced.run(entity.name, "incremental")
        assert set(standin.calls) - {"/oauth/v2/token"} == {f"/{API[entity.stream.api]}/{entity.stream.path}"}
    assert synced.mirror(entity.name, "xmin::text") == standing


def test_an_increment_brings_only_what_changed(synced: World, standin: StandIn, entity: Entity) -> None:
    synced.run(entity.name, "full")
    before = versions(synced, entity)
    source_id = next(iter(records(standin, entity)))
    change(standin, entity.stream.path, source_id)
    synced.run(entity.name, "incremental")
    after = versions(synced, entity)
    assert [key for key in after if after[key] != before[key]] == [source_id]
    assert_equal(synced, standin, entity)


@each(lambda entity: entity.stream.list_shows is not Shows.ALL and entity.lines)
def test_a_change_that_no_list_gives_away_is_found_by_a_full_pass(
    synced: World, standin: StandIn, entity: Entity
) -> None:
    synced.run(entity.name, "full")
    source_id = next(iter(records(standin, entity)))
    before = records(standin, entity)[source_id]
    change_unseen(standin, entity.stream.path, source_id)
    assert plain_lines(entity.lines[0], records(standin, entity)[source_id]) != plain_lines(entity.lines[0], before)
    synced.run(entity.name, "full")
    assert_equal(synced, standin, entity)


def test_whether_a_location_is_active_is_seen_by_a_full_pass_though_no_list_shows_it(
    synced: World, standin: StandIn
) -> None:
    synced.run("location", "full")
    assert {status for (status,) in synced.mirror("location", "status").values()} == {"active"}
    source_id = standin.ids("locations")[1]
    standin.edit("locations", source_id, status="inactive")
    synced.run("location", "full")
    assert synced.row("location", source_id)["status"] == "inactive"
    assert_equal(synced, standin, ENTITIES["location"])


@each(has_custom_fields)
def test_a_custom_field_that_is_cleared_there_is_cleared_here(synced: World, standin: StandIn, entity: Entity) -> None:
    synced.run(entity.name, "full")
    source_id = next(key for key, row in mirrored_rows(synced, entity).items() if row["custom_fields"])
    clear_custom_field(standin, entity.stream.path, source_id)
    synced.run(entity.name, "incremental")
    assert synced.row(entity.name, source_id)["custom_fields"] is None
    assert_equal(synced, standin, entity)


def test_what_the_source_deletes_is_a_tombstone_after_a_full_pass(
    synced: World, standin: StandIn, entity: Entity
) -> None:
    synced.run(entity.name, "full")
    source_id = next(iter(records(standin, entity)))
    standin.delete(entity.stream.path, source_id)
    synced.run(entity.name, "full")
    dead = synced.rows(f"select source_id from {entity.table.fullname} where deleted_at is not null")
    assert [row["source_id"] for row in dead] == [source_id]
    assert_equal(synced, standin, entity)


def webhook(entity: Entity, record: dict[str, Any]) -> Delivery:
    return parse(
        entity=entity.name,
        event="updated",
        content_type="application/json",
        body=msgspec.json.encode(record),
        query=[],
        form=None,
        headers={},
        correlation_id="c",
    )


@each(is_announced)
def test_whole_webhook_bodies_bring_the_same_without_a_call(synced: World, standin: StandIn, entity: Entity) -> None:
    synced.deliver(*(webhook(entity, record) for record in records(standin, entity).values()))
    synced.drain(entity.name)
    assert standin.calls == []
    assert Counter(synced.verdicts()) == {"applied": len(records(standin, entity))}
    assert_equal(synced, standin, entity, by_webhook=True)


FEEDINGS = [(ENTITIES[feeder], fed) for fed in ENTITIES.values() for feeder in fed.fed_by]


@pytest.mark.parametrize(("feeder", "fed"), FEEDINGS, ids=lambda entity: entity.name)
def test_a_change_owes_a_reading_to_what_it_feeds(synced: World, standin: StandIn, feeder: Entity, fed: Entity) -> None:
    source_id, record = next(iter(records(standin, feeder).items()))
    if fed in siblings_of(
        feeder.name
    ):  # a reading would tell of both (tests/integration/processing/test_related_entities.py)
        synced.deliver(webhook(feeder, record))
    else:
        synced.enqueue(feeder.name, source_id)
    synced.drain(feeder.name)
    named_by = fed.fed_by[feeder.name]
    lines = next((record[each.key] for each in feeder.lines if each.name == named_by), [record])
    owed = synced.rows("select source_id from tds_sync_queue where entity = :entity", entity=fed.name)
    assert {row["source_id"] for row in owed} == {line[fed.stream.id_key] for line in lines}


def test_the_api_shows_every_record_as_it_is_kept(
    synced: World, standin: StandIn, entity: Entity, database: str, engine: Engine
) -> None:
    synced.run(entity.name, "full")
    kept = {row["source_id"] for row in synced.rows(f"select source_id from {entity.table.fullname}")}
    with sender_for(database, engine, **standin.settings) as sender:
        base, now = f"/api/tds/entities/{entity.name}", datetime.now(UTC).isoformat()
        for asked in ({}, {"as_of": now}):
            listed = sender.get(base, limit=500, **asked)
            assert listed.status_code == 200, listed.text
            assert {row["source_id"] for row in listed.json["items"]} == kept
        for source_id in sorted(kept)[:3]:
            whole = sender.get(f"{base}/{quote(source_id, safe='')}")
            assert whole.status_code == 200, whole.text
            assert whole.json["source_record"]
            then = sender.get(f"{base}/{quote(source_id, safe='')}", as_of=now)
            assert then.status_code == 200, then.text
            for name in ("source_id", "version", *(lines.name for lines in entity.lines)):
                assert then.json[name] == whole.json[name], name
