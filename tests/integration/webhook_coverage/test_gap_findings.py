"""Gap findings promise: a rule that was switched off is known within the hour, a quiet hour is not called one, and
what is over resolves by itself."""

import pytest
from sqlalchemy import Engine

from tests.support.webhook_history import WebhookHistory

OFF, MISSING, GAPS = "webhook_rule_off", "webhook_rule_missing", "webhook_gaps"


@pytest.fixture
def history(engine: Engine) -> WebhookHistory:
    history = WebhookHistory(engine)
    history.begin()
    return history


def test_a_rule_that_was_switched_off_is_known_within_the_hour(history: WebhookHistory) -> None:
    history.told("1", changed=70)
    history.change("2", changed=50, found=5)
    history.measure()
    found = history.report()
    assert list(found) == [(OFF, "all")]
    detail = found[OFF, "all"]["detail"]
    assert (detail["missed_count"], detail["examples"]) == (1, ["2"])
    assert detail["news"].endswith("Next: tds zoho webhooks status")
    assert history.coverage()["entities"][0]["state"] == "off"


def test_three_changes_in_a_row_need_no_hour(history: WebhookHistory) -> None:
    history.told("1", changed=20)
    for number in (2, 3, 4):
        history.change(str(number), changed=20 - number, found=5)
    history.measure()
    assert list(history.report()) == [(OFF, "all")]


def test_it_is_over_when_a_webhook_comes_again(history: WebhookHistory) -> None:
    history.told("1", changed=120)
    history.change("2", changed=50, found=40)
    history.measure()
    assert list(history.report()) == [(OFF, "all")]
    history.measure()
    assert list(history.report()) == [(OFF, "all")], "it is still off in a quiet hour"
    history.told("3", changed=2)
    history.measure()
    assert (OFF, "all") not in history.report()
    [row] = history.rows("select resolved_by from tds_findings where kind = :kind", kind=OFF)
    assert row["resolved_by"] == "tds"


def test_it_is_over_with_the_first_webhook_of_any_record_before_its_sync(history: WebhookHistory) -> None:
    history.told("1", changed=120)
    history.change("2", changed=50, found=40)
    history.measure()
    history.report()
    history.webhook("7", of=1, received=1, event="created", verdict=None)
    history.measure()
    assert (OFF, "all") not in history.report()


def test_a_quiet_hour_is_not_a_gap(history: WebhookHistory) -> None:
    history.told("1", changed=300)
    history.measure()
    assert history.report() == {}
    [shown] = history.coverage(hours=3)["entities"]
    assert (shown["changed_count"], shown["coverage_ratio"], shown["cells"]) == (0, None, [])
    assert shown["state"] == "heard"


def test_one_lost_webhook_among_others_is_a_note_and_no_rule_off(history: WebhookHistory) -> None:
    history.told("1", changed=90)
    history.change("2", changed=50, found=10)
    history.told("3", changed=8)
    history.measure()
    found = history.report()
    assert list(found) == [(GAPS, "never")]
    assert found[GAPS, "never"]["severity"] == "note"
    assert found[GAPS, "never"]["detail"]["gap_count"] == 1


def test_gaps_of_the_day_before_are_over(history: WebhookHistory) -> None:
    history.change("2", changed=60 * 25, found=60 * 24 - 5)
    history.told("3", changed=8)
    history.measure()
    assert list(history.report()) == [(GAPS, "never")]
    history.rows("update tds_webhook_gaps set found_at = found_at - interval '10 minutes'")
    assert history.report() == {}


def test_a_secret_that_is_refused_is_no_rule_off_and_says_what_to_do(history: WebhookHistory) -> None:
    history.told("1", changed=300)
    for number in range(4):
        history.refused(str(number), received=28)
        history.change(str(number), changed=30, found=10)
    history.measure()
    found = history.report()
    assert list(found) == [(GAPS, "signature_wrong")]
    assert "tds zoho webhooks install" in found[GAPS, "signature_wrong"]["detail"]["news"]
    assert found[GAPS, "signature_wrong"]["severity"] == "warning"


def test_an_entity_whose_rules_were_never_set_up_is_told_so(engine: Engine) -> None:
    history = WebhookHistory(engine, "invoice")
    history.begin(entity="product")
    history.begin()
    history.told("1", changed=90, entity="product")
    history.change("2", changed=50, found=10)
    history.measure()
    found = history.report()
    assert list(found) == [(MISSING, "all")]
    assert "tds zoho webhooks install" in found[MISSING, "all"]["detail"]["news"]
    history.told("3", changed=5)
    history.measure()
    assert (MISSING, "all") not in history.report()


def test_one_event_alone_may_be_switched_off(history: WebhookHistory) -> None:
    history.webhook("0", of=400, received=399, event="created", verdict="applied")
    history.change("0", changed=400, found=399, operation="created", origin="webhook")
    for number in range(3):
        history.change(f"new-{number}", changed=50, found=20, operation="created")
    history.told("1", changed=10)
    history.measure()
    found = history.report()
    assert (OFF, "created") in found
    assert (OFF, "all") not in found
    [shown] = history.coverage()["entities"]
    assert (shown["state"], shown["silent_events"]) == ("heard", ["created"])


def test_without_any_webhook_ever_nothing_is_reported(engine: Engine) -> None:
    history = WebhookHistory(engine)
    history.full_pass(600)
    history.change("1", changed=100, found=90)
    history.measure()
    assert history.report() == {}
