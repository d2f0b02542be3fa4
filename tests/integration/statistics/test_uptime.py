"""Uptime is what samples vouch for: a gap counts as down, and so does a sample of something that stands still."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from tds_core.statistics.uptime import Uptime, measure_uptime, record_sample
from tds_models.db import session_scope
from tds_tasks import schedule
from tests.support.planted_rows import plant
from tests.support.worker_reports import tell
from tests.support.world import World

NINE = datetime(2026, 11, 20, 9, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def measured(engine: Engine, *moments: timedelta, minutes: int = 10, down: tuple[timedelta, ...] = ()) -> Uptime:
    plant(
        engine,
        "tds_uptime_samples",
        *({"sampled_at": NINE + moment, "is_up": moment not in down} for moment in moments),
    )
    with session_scope(engine) as session:
        return measure_uptime(session, since=NINE, until=NINE + minutes * MINUTE)


def test_a_sample_a_minute_is_up_all_the_time_also_when_it_comes_late(engine: Engine) -> None:
    found = measured(engine, *(number * MINUTE + number % 3 * 10 * SECOND for number in range(-1, 10)))
    assert (found.up_seconds, found.share, found.gap_began_at) == (600.0, 1.0, None)


def test_a_gap_is_down_from_90_seconds_after_the_last_sample(engine: Engine) -> None:
    found = measured(engine, 0 * MINUTE, 1 * MINUTE, 6 * MINUTE, 7 * MINUTE, 8 * MINUTE, 9 * MINUTE)
    assert (found.seconds, found.up_seconds) == (600.0, 390.0)
    assert (found.gap_began_at, found.gap_ended_at) == (NINE + 1 * MINUTE, NINE + 6 * MINUTE)


def test_the_sample_before_a_span_vouches_for_its_beginning_and_none_beyond_its_end(engine: Engine) -> None:
    assert measured(engine, -1 * MINUTE, 9 * MINUTE + 30 * SECOND).up_seconds == 60.0


def test_a_sample_of_standstill_ends_what_the_one_before_vouched_for(engine: Engine) -> None:
    found = measured(engine, *(number * MINUTE for number in range(10)), down=(2 * MINUTE, 3 * MINUTE))
    assert found.up_seconds == 480.0
    assert (found.gap_began_at, found.gap_ended_at) == (NINE + 1 * MINUTE, NINE + 4 * MINUTE)


def test_without_samples_all_of_it_was_down_and_an_empty_span_has_no_share(engine: Engine) -> None:
    found = measured(engine)
    assert (found.share, found.gap_began_at, found.gap_ended_at) == (0.0, NINE, NINE + 10 * MINUTE)
    assert measured(engine, minutes=0).share is None


def alive(world: World) -> None:
    world.execute("insert into tds_pulses (name) values ('dispatcher'), ('beat') on conflict do nothing")


def test_the_job_of_each_minute_samples_whether_tds_makes_progress(world: World) -> None:
    alive(world)
    schedule.JOBS["measure"]({})
    assert world.one("select is_up, reason from tds_uptime_samples") == {"is_up": True, "reason": None}


def test_what_stands_still_makes_a_sample_of_being_down_and_says_what(world: World) -> None:
    alive(world)
    world.enqueue("product", "1")
    world.execute("update tds_sync_queue set next_attempt_at = now() - interval '5 minutes'")
    with session_scope(world.engine) as session:
        assert record_sample(session) is False
    assert "workers: work is due for" in world.value("select reason from tds_uptime_samples")


def test_a_webhook_that_met_a_503_lately_is_being_down_too(world: World) -> None:
    alive(world)
    world.execute(
        "insert into tds_unstored_webhooks (minute, reason, webhook_count, first_at, last_at)"
        " values (date_trunc('minute', now()), 'away', 1, now(), now())"
    )
    with session_scope(world.engine) as session:
        assert record_sample(session) is False
    world.execute("update tds_unstored_webhooks set last_at = now() - interval '2 minutes'")
    with session_scope(world.engine) as session:
        assert record_sample(session) is True


def test_that_zoho_refuses_us_is_not_tds_being_down(world: World) -> None:
    alive(world)
    world.execute("insert into tds_source_tokens (source, refused_at, refusal) values ('zoho', now(), 'no')")
    tell(world)
    with session_scope(world.engine) as session:
        assert record_sample(session) is True
