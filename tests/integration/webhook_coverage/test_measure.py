"""Measuring promises: each change counts once, as told in time, late, never or wrongly; and never one that TDS could
not have been told of."""

from threading import Thread

import pytest
from sqlalchemy import Engine, text

from tds_core.webhook_coverage.measure import measure, measured_entities
from tds_models.db import session_scope
from tests.support.webhook_history import WebhookHistory


@pytest.fixture
def history(engine: Engine) -> WebhookHistory:
    history = WebhookHistory(engine)
    history.begin()
    return history


def test_what_a_webhook_brought_is_announced(history: WebhookHistory) -> None:
    history.told()
    [step] = history.measure()
    assert (step.change_count, step.gap_count) == (1, 0)
    assert history.counts() == {"webhook": 1}


@pytest.mark.parametrize(
    ("of", "received"),
    [
        (30, 29),  # its own state, before polling found it
        (20, 19),  # a newer one that was here already
        (None, 29),  # a body without a time
        (30, 29.95),  # seconds after the change
    ],
)
def test_polling_that_overtakes_a_waiting_webhook_was_told_in_time(
    history: WebhookHistory, of: float | None, received: float
) -> None:
    history.webhook(of=of, received=received, verdict=None)
    history.change(changed=30, found=10)
    history.measure()
    assert history.counts() == {"in_time": 1}
    assert history.gaps() == []


def test_polling_a_moment_before_the_webhook_is_no_gap(history: WebhookHistory) -> None:
    history.change(changed=10.2, found=10.1)
    history.webhook(of=10.2, received=9.9)
    history.measure()
    assert history.counts() == {"in_time": 1}


def test_a_webhook_that_came_after_polling_is_late(history: WebhookHistory) -> None:
    history.change(changed=30, found=10)
    history.webhook(of=30, received=5)
    history.measure()
    assert history.counts() == {"late": 1}
    [gap] = history.gaps()
    assert (gap["verdict"], gap["told_at"]) == ("late", history.at(5))


def test_never_told_becomes_late_once_the_webhook_comes(history: WebhookHistory) -> None:
    history.change(changed=30, found=10)
    history.measure()
    assert history.counts() == {"never": 1}
    history.webhook(of=30, received=0)
    [step] = history.measure()
    assert (step.read_count, step.late_count) == (0, 1)
    assert history.counts() == {"late": 1}
    history.measure()
    assert history.counts() == {"late": 1}


def test_a_later_change_that_is_told_does_not_tell_of_the_one_before(history: WebhookHistory) -> None:
    history.change(changed=30, found=20)
    history.told(changed=10)
    history.measure()
    assert history.counts() == {"never": 1, "webhook": 1}


def test_a_webhook_of_the_state_before_does_not_tell_of_the_change_after(history: WebhookHistory) -> None:
    history.told(changed=40)
    history.change(changed=30, found=10)
    history.measure()
    assert history.counts() == {"webhook": 1, "never": 1}


def test_an_undated_webhook_that_changed_the_row_tells_of_that_change_only(history: WebhookHistory) -> None:
    history.change(changed=30, found=20)
    history.webhook(of=None, received=10, verdict="applied")
    history.measure()
    assert history.counts() == {"never": 1}
    history.change("2", changed=30, found=20)
    history.webhook("2", of=None, received=10, verdict="unchanged")
    history.measure()
    assert history.counts() == {"never": 1, "late": 1}


def test_a_refused_webhook_told_wrongly(history: WebhookHistory) -> None:
    history.refused(received=29)
    history.change(changed=30, found=10)
    history.measure()
    assert history.counts() == {"wrong": 1}
    assert [gap["reason"] for gap in history.gaps()] == ["signature_wrong"]


def test_a_refused_webhook_of_another_time_or_record_is_none_of_this(history: WebhookHistory) -> None:
    history.refused(received=60)
    history.refused("2", received=29)
    history.change(changed=30, found=10)
    history.measure()
    assert history.counts() == {"never": 1}


def test_a_refusal_that_was_sent_again_rightly_is_in_time(history: WebhookHistory) -> None:
    history.refused(received=29)
    history.webhook(of=30, received=25)
    history.change(changed=30, found=10)
    history.measure()
    assert history.counts() == {"in_time": 1}


@pytest.mark.parametrize(("event", "of", "reason"), [("updated", 45, "older_state"), ("deleted", 30, "deleted")])
def test_a_webhook_that_names_another_state_told_wrongly(
    history: WebhookHistory, event: str, of: float, reason: str
) -> None:
    history.webhook(of=of, received=25, event=event)
    history.change(changed=30, found=10)
    history.measure()
    assert history.counts() == {"wrong": 1}
    assert [gap["reason"] for gap in history.gaps()] == [reason]


def test_told_wrongly_becomes_late_once_the_right_webhook_comes(history: WebhookHistory) -> None:
    history.refused(received=29)
    history.change(changed=30, found=10)
    history.measure()
    history.webhook(of=30, received=0)
    history.measure()
    assert history.counts() == {"late": 1}
    assert [gap["reason"] for gap in history.gaps()] == [None]


def test_doubled_webhooks_count_once(history: WebhookHistory) -> None:
    history.webhook(of=30, received=29)
    history.webhook(of=30, received=15)
    history.change(changed=30, found=20)
    history.measure()
    history.webhook(of=30, received=5)
    history.measure()
    assert history.counts() == {"in_time": 1}


def test_webhooks_out_of_order_tell_of_both_changes(history: WebhookHistory) -> None:
    history.webhook(of=20, received=19)
    history.webhook(of=30, received=18)
    history.change(changed=20, found=10)
    history.measure()
    assert history.counts() == {"in_time": 1}


def test_readings_that_complete_a_change_are_no_change(history: WebhookHistory) -> None:
    history.change(changed=30, found=10, operation="created")
    history.change(changed=30, found=5)  # the details behind the list row
    history.change(changed=30, found=3, origin="forced", name="repair")
    history.measure()
    assert history.counts() == {"never": 1}


def test_what_was_brought_by_webhook_and_completed_by_reading_counts_once(history: WebhookHistory) -> None:
    history.told(changed=30)
    history.change(changed=30, found=10)
    history.change(changed=30, found=5, origin="comparison", name="compare")
    history.measure()
    assert history.counts() == {"webhook": 1}


@pytest.mark.parametrize("origin", ["run", "sweep", "comparison", "operator", "revival", "healing"])
def test_whatever_but_a_webhook_found_it_it_was_polling(history: WebhookHistory, origin: str) -> None:
    history.change(changed=30, found=10, origin=origin)
    history.measure()
    assert history.counts() == {"never": 1}
    assert [gap["origin"] for gap in history.gaps()] == [origin]


def test_what_follows_from_another_record_or_an_operator_is_not_to_be_announced(history: WebhookHistory) -> None:
    history.change("1", changed=30, found=10, origin="fed")
    edited = history.webhook("2", of=20, received=20, event="edited")
    history.change("2", changed=20, found=10, origin="operator", origin_id=edited)
    history.change("3", changed=30, found=10, operation="restored")
    history.change("4", changed=30, found=10, operation="repaired")
    history.measure()
    assert history.counts() == {}


def test_the_first_load_counts_nothing(engine: Engine) -> None:
    history = WebhookHistory(engine)
    history.webhook("other", of=400, received=400)
    history.change("1", changed=500, found=300, operation="created")  # while the first pass runs
    history.full_pass(290)
    history.change("1", changed=500, found=100, origin="run")  # its details, read at leisure
    history.change("2", changed=310, found=80, operation="created")  # changed before the pass ended
    history.measure()
    assert history.counts() == {}
    history.change("1", changed=60, found=50)
    history.measure()
    assert history.counts() == {"never": 1}


def test_before_the_first_webhook_nothing_counts(engine: Engine) -> None:
    history = WebhookHistory(engine)
    history.full_pass(600)
    history.change("1", changed=500, found=490)
    history.measure()
    assert history.coverage()["entities"][0]["state"] == "not_measured"
    history.webhook("2", of=400, received=400, entity="customer")
    history.change("1", changed=450, found=390)
    history.change("1", changed=380, found=370)
    history.measure()
    assert history.counts() == {"never": 1}
    assert history.coverage()["entities"][0]["begins_at"] == history.at(400)


def test_an_entity_that_was_never_loaded_is_not_measured(engine: Engine) -> None:
    history = WebhookHistory(engine)
    history.webhook("2", of=400, received=400)
    history.change("1", changed=300, found=290)
    history.measure()
    assert history.counts() == {}


@pytest.mark.parametrize("entity", ["price_list", "stock_level", "user", "location", "category"])
def test_an_entity_without_a_rule_is_not_measured(engine: Engine, entity: str) -> None:
    assert entity not in measured_entities()
    history = WebhookHistory(engine, entity)
    history.begin()
    history.change(changed=30, found=10)
    history.measure()
    assert history.counts() == {}
    [shown] = history.coverage()["entities"]
    assert (shown["state"], shown["coverage_ratio"]) == ("not_announced", None)


def test_a_deletion_counts_when_another_pass_had_shown_the_record(history: WebhookHistory) -> None:
    history.change("1", changed=9000, found=9000, operation="created")
    history.full_pass(100, name="night-1")
    history.change("1", changed=None, found=50, operation="deleted", origin="sweep", name="night-2")
    history.measure()
    assert history.counts() == {"never": 1}


def test_a_deletion_that_may_be_older_than_the_first_webhook_does_not_count(engine: Engine) -> None:
    history = WebhookHistory(engine)
    history.full_pass(600)
    history.webhook("other", of=500, received=500)
    history.full_pass(100, name="night-1")
    history.change("1", changed=None, found=90, operation="deleted", origin="sweep", name="night-1")
    history.measure()
    assert history.counts() == {}


@pytest.mark.parametrize(
    ("event", "received", "counted"),
    [("deleted", 60, "in_time"), ("deleted", 40, "late"), ("updated", 60, "never"), ("deleted", 300, "never")],
)
def test_a_deletion_is_told_by_its_own_event(
    history: WebhookHistory, event: str, received: float, counted: str
) -> None:
    history.told(changed=200)
    history.full_pass(100, name="night-1")
    history.webhook(of=200, received=received, event=event)
    history.change(changed=None, found=50, operation="deleted", origin="sweep", name="night-2")
    history.measure()
    assert history.counts() == {"webhook": 1, counted: 1}


def test_a_change_belongs_to_the_hour_in_which_it_was_made(history: WebhookHistory) -> None:
    history.change("1", changed=300, found=10)
    history.change("2", changed=-500, found=10)  # a clock ahead of ours
    history.measure()
    hours = {row["hour_at"] for row in history.rows("select hour_at from tds_webhook_coverage")}
    assert hours == {history.at(ago).replace(minute=0, second=0, microsecond=0) for ago in (300, 10)}


def test_what_was_found_just_now_waits_for_its_webhook(history: WebhookHistory) -> None:
    history.change("1", changed=30, found=10)
    history.change("2", changed=1, found=0.5)
    history.change("3", changed=30, found=10)
    [step] = history.measure(settle_seconds=120)
    assert step.read_count == 1
    assert history.counts() == {"never": 1}
    history.measure()
    assert history.counts() == {"never": 3}


def test_after_downtime_steps_catch_up_and_each_entry_is_read_once(history: WebhookHistory) -> None:
    for number in range(25):
        history.change(str(number), changed=600 - number, found=500 - number)
    history.webhook("3", of=597, received=560)
    history.webhook("4", of=596, received=400)
    steps = history.measure(limit=10)
    assert [step.read_count for step in steps] == [10, 10, 5]
    assert history.counts() == {"never": 23, "in_time": 1, "late": 1}
    assert [step.read_count for step in history.measure(limit=10)] == [0]


def test_two_processes_at_once_measure_once(history: WebhookHistory) -> None:
    for number in range(40):
        history.change(str(number))
    threads = [Thread(target=history.measure, kwargs={"limit": 5}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.measure()
    assert history.counts() == {"never": 40}


def test_a_step_that_is_rolled_back_counts_nothing(history: WebhookHistory) -> None:
    history.change()
    with pytest.raises(RuntimeError), session_scope(history.engine) as session:
        assert measure(session, settle_seconds=0).change_count == 1
        raise RuntimeError
    assert history.counts() == {}
    history.measure()
    assert history.counts() == {"never": 1}


def test_an_entry_that_commits_late_is_not_passed_over(history: WebhookHistory) -> None:
    with history.engine.connect() as slow, slow.begin():
        slow.execute(
            text(
                "insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin,"
                " correlation_id, source_modified_at, recorded_at) values ('zoho', 'product', '9', 1, 'updated', '{}',"
                " 'run', 'slow', :at, :at)"
            ),
            {"at": history.at(5)},
        )
        history.change("1")
        history.measure()
        assert history.counts() == {}
        slow.commit()
    history.measure()
    history.measure()
    assert history.counts() == {"never": 2}


def test_of_a_history_that_was_there_before_the_week_of_the_inbox_is_measured(engine: Engine) -> None:
    history = WebhookHistory(engine)
    history.full_pass(60 * 24 * 30)
    history.webhook("other", of=60 * 24 * 20, received=60 * 24 * 20)
    history.change("1", changed=60 * 24 * 9, found=60 * 24 * 8)
    history.change("2", changed=60 * 24 * 6, found=60 * 24 * 5)
    [step] = history.measure()
    assert (step.read_count, history.counts()) == (1, {"never": 1})
