"""Partitioned events promise: one that is open outlives its partition, and the ways of webhooks look at few of them."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tds_core import partitions
from tds_core.inbox import receive
from tds_core.schema.migrations import migrate
from tds_models.db import Timeouts, make_engine, session_scope
from tds_models.partitions import PARTITIONED
from tds_tasks.partition_upkeep import keep_up
from tests.support.database_role import superuser_url
from tests.support.planted_rows import event, plant
from tests.support.world import ScriptedSource, World, delivery, product

EVENTS = PARTITIONED["tds_inbox_events"]
DAYS = {"events": 7, "attempts": 90, "metrics": 30}


def partition_of(world: World, days: int) -> tuple[str, datetime]:
    """The partition of so many days ago, made now, and its begin."""
    begins_at, ends_at = EVENTS.span_of(world.value("select now()") - timedelta(days=days))
    with session_scope(world.engine) as session:
        assert partitions.add_partition(session, EVENTS, (begins_at, ends_at))
    return EVENTS.partition(begins_at), begins_at


def places(world: World) -> list[tuple[str, str | None]]:
    found = world.rows("select tableoid::regclass::text as place, verdict from tds_inbox_events order by received_at")
    return [(row["place"], row["verdict"]) for row in found]


def test_days_are_kept_as_the_setting_says(world: World) -> None:
    (_, old_at), (young, young_at) = partition_of(world, 10), partition_of(world, 5)
    plant(world.engine, "tds_inbox_events", event(old_at), event(young_at))
    assert keep_up({**DAYS, "events": 30})["tds_inbox_events"].dropped_count == 0
    assert keep_up(DAYS)["tds_inbox_events"].dropped_count == 1
    assert places(world) == [(young, "applied")]


def test_an_open_event_outlives_its_partition_and_is_applied(world: World, source: ScriptedSource) -> None:
    name, begins_at = partition_of(world, 10)
    source.records["460000000000001"] = product()
    world.deliver(delivery("product", product()))
    world.execute("update tds_inbox_events set received_at = :at", at=begins_at)
    plant(world.engine, "tds_inbox_events", event(begins_at))
    assert {place for place, _ in places(world)} == {name}
    result = keep_up(DAYS)["tds_inbox_events"]
    assert (result.dropped_count, result.moved_count) == (1, 1)
    assert places(world) == [(EVENTS.default, None)]
    world.drain("product")
    assert places(world) == [(EVENTS.default, "applied")]
    assert keep_up(DAYS)["tds_inbox_events"].deleted_count == 1


def test_too_many_open_events_keep_their_partition_and_the_others_are_deleted(world: World) -> None:
    name, begins_at = partition_of(world, 10)
    plant(world.engine, "tds_inbox_events", event(begins_at), event(begins_at))
    world.execute(
        "insert into tds_inbox_events (source, entity, source_id, correlation_id, received_at)"
        " select 'zoho', 'product', n::text, 'c', :at from generate_series(1, 10001) n", at=begins_at,
    )  # fmt: skip
    result = keep_up(DAYS)["tds_inbox_events"]
    assert (result.dropped_count, result.deleted_count) == (0, 2)
    assert world.value("select count(*) from tds_inbox_events") == 10_001
    world.execute("update tds_inbox_events set verdict = 'stale', verdict_at = now() where source_id > '5'")
    assert keep_up(DAYS)["tds_inbox_events"].dropped_count == 1
    assert {place for place, _ in places(world)} == {EVENTS.default}
    assert world.value(f"select to_regclass('{name}') is null")


def test_a_duplicate_over_midnight_is_one_and_after_a_dead_letter_none(world: World) -> None:
    yesterday, begins_at = partition_of(world, 1)
    [first] = world.deliver(delivery("product", product()))
    late = begins_at + timedelta(hours=23, minutes=59)
    world.execute("update tds_inbox_events set received_at = :at", at=late)
    world.execute("update tds_inbox_fingerprints set seen_at = :at", at=late)

    def again() -> receive.Receipt:
        with session_scope(world.engine) as session:
            return receive.receive(session, [delivery("product", product())], duplicate_window_seconds=200_000)[0]

    assert (again().event_id, again().duplicate) == (first.event_id, True)
    assert places(world) == [(yesterday, None)]
    world.execute("update tds_inbox_events set verdict = 'dead_lettered', verdict_at = now()")
    assert not again().duplicate, "a new event of the same content"


def plan_of(engine: Engine, statement: str, **params: object) -> str:
    with engine.connect() as connection:
        return "\n".join(connection.execute(text(f"explain (analyze, costs off) {statement}"), params).scalars())


def test_what_is_read_by_time_leaves_old_partitions_alone(world: World) -> None:
    old = [partition_of(world, days)[0] for days in range(2, 9)]
    recent = "select count(*) from tds_inbox_events where received_at > now() - interval '1 hour'"
    plan = plan_of(world.engine, recent)
    assert not any(f" on {name}" in plan for name in old)
    assert "Subplans Removed" in plan
    page = (
        "select id from tds_inbox_events where received_at >= cast(:since as timestamptz) and received_at < :until"
        " order by received_at desc, id desc limit 50"
    )
    since = EVENTS.span_of(world.value("select now()") - timedelta(days=3))[0]
    plan = plan_of(world.engine, page, since=since, until=since + timedelta(hours=1))
    assert EVENTS.partition(since) in plan
    assert sum(f" on {name}" in plan for name in old) == 1


def test_the_burst_looks_for_given_up_events_within_its_window_alone(world: World) -> None:
    old = [partition_of(world, days)[0] for days in range(2, 9)]
    with world.engine.connect() as connection:
        connection.exec_driver_sql(receive.PREPARE)
        rows = '[{"n": 0}]'
        plan = "\n".join(
            connection.exec_driver_sql("explain (costs off) execute tds_receive (%s, 600)", (rows,)).scalars()
        )
        connection.rollback()
    assert not any(f" on {name}" in plan for name in old)


def test_a_verdict_is_written_into_the_partition_of_its_event_alone(world: World, source: ScriptedSource) -> None:
    source.records["460000000000001"] = product()
    world.deliver(delivery("product", product()))
    world.drain("product")
    today = EVENTS.partition(EVENTS.span_of(world.value("select now()"))[0])
    assert places(world) == [(today, "applied")]


@pytest.fixture
def plain(database: str) -> Iterator[Engine]:
    """An engine, with all rights, on a database whose events are not partitioned yet."""
    url = superuser_url(database)
    migrate(url, "0042", may_lose=True)
    engine = make_engine(url, pool_size=4, timeouts=Timeouts(statement=60))
    yield engine
    engine.dispose()


def test_webhooks_that_come_while_events_are_converted_are_all_stored(plain: Engine) -> None:
    with plain.begin() as connection:
        connection.execute(text("insert into tds_inbox_events (source, entity, source_id, correlation_id, received_at)"
                                " select 'zoho', 'product', n::text, 'c', now() - n * interval '1 minute'"
                                " from generate_series(1, 5000) n"))  # fmt: skip
    url = plain.url.render_as_string(hide_password=False)
    stopping, stored, errors = threading.Event(), [0], list[str]()

    def send() -> None:
        while not stopping.is_set():
            burst = [delivery("product", product(f"{9000 + stored[0]}-{n}")) for n in range(5)]
            try:
                with session_scope(plain) as session:
                    receipts = receive.receive(session, burst, duplicate_window_seconds=600)
            except Exception as error:
                errors.append(str(error))
            else:
                stored[0] += len(receipts)

    thread = threading.Thread(target=send)
    thread.start()
    migrate(url)
    stopping.set()
    thread.join()
    with plain.connect() as connection:
        count = connection.execute(text("select count(*) from tds_inbox_events")).scalar_one()
        kind = connection.execute(
            text("select relkind from pg_class where oid = 'tds_inbox_events'::regclass")
        ).scalar_one()
    assert (errors, count, kind) == ([], 5000 + stored[0], "p")
    assert stored[0] > 20
