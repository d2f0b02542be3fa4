"""Evaluations on a real PostgreSQL: what is measured becomes states, transitions and deliveries."""

from datetime import UTC, timedelta
from threading import Barrier, Thread

import pytest
from cryptography.fernet import Fernet
from sqlalchemy.exc import OperationalError

from tds_core.alerts import deliveries, operator_actions, rule_terms, silences
from tds_core.alerts.channels import store
from tds_core.alerts.channels.sending import SendOutcome
from tds_core.alerts.evaluation import Evaluator
from tds_core.alerts.operator_actions import AlertNotFiringError
from tds_core.alerts.silences import InvalidSilenceError, Silence
from tds_core.crypto import Vault
from tds_core.queue.items import database_clock
from tds_core.subscriptions.ssrf_guard import TargetPolicy
from tds_models.alerts import AlertSeverity
from tests.support.alert_rules import AlertWorld, Switchboard
from tests.support.world import World


@pytest.fixture
def alerting(world: World) -> AlertWorld:
    """A cause, its consequence, and a rule of their own."""
    board = Switchboard()
    rules = [
        board.rule("broker", severity=AlertSeverity.CRITICAL),
        board.rule("backlog", severity=AlertSeverity.WARNING, muted_by=("broker",)),
        board.rule("letters"),
    ]
    return AlertWorld(world, Evaluator(rules), board)


def transitions(alerting: AlertWorld) -> list[tuple[str, str, str]]:
    rows = alerting.world.rows("select rule, from_state, to_state from tds_alert_transitions order by id")
    return [(row["rule"], row["from_state"], row["to_state"]) for row in rows]


def test_an_alert_is_told_once_and_its_end_to_those_who_know(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    alerting.channel("boss", after_seconds=900)
    alerting.board.values["letters", ""] = 1
    assert alerting.evaluate().transition_count == 1
    [message] = alerting.send()
    assert [each.alert.summary for each in message.deliveries] == ["letters : 1"]
    alerting.evaluate()
    assert alerting.send() == []
    alerting.board.values["letters", ""] = 0
    alerting.wait(61)
    alerting.evaluate()
    alerting.send()
    assert alerting.deliveries() == [("desk", "firing", "sent"), ("desk", "resolved", "sent")]
    assert transitions(alerting) == [("letters", "ok", "firing"), ("letters", "firing", "resolved")]


def test_a_storm_of_one_rule_is_one_message(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    alerting.board.values |= {("letters", f"entity {number}"): 1.0 for number in range(40)}
    alerting.evaluate()
    [message] = alerting.send()
    assert len(message.deliveries) == 40


def test_many_rules_at_once_are_one_message(world: World) -> None:
    board = Switchboard()
    alerting = AlertWorld(world, Evaluator([board.rule(f"rule_{number}") for number in range(6)]), board)
    alerting.channel("desk")
    board.values |= {(f"rule_{number}", ""): 1.0 for number in range(6)}
    alerting.evaluate()
    assert [len(message.deliveries) for message in alerting.send()] == [6]


def test_a_cause_is_told_and_its_consequence_is_not_until_the_cause_is_over_for_a_while(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    alerting.board.values |= {("broker", ""): 1.0, ("backlog", "product"): 1.0}
    alerting.evaluate()
    assert [each.alert.rule for message in alerting.send() for each in message.deliveries] == ["broker"]
    assert alerting.world.value("select muted_by from tds_alerts where rule = 'backlog'") == "broker"
    alerting.board.values["broker", ""] = 0
    alerting.wait(61)
    alerting.evaluate()
    assert [message.kind for message in alerting.send()] == ["resolved"]
    alerting.wait(121)
    alerting.evaluate()
    [message] = alerting.send()
    assert [(each.alert.rule, each.reason) for each in message.deliveries] == [("backlog", "over: muted by broker")]


def test_a_channel_that_is_not_told_of_the_cause_is_told_of_the_consequence(world: World) -> None:
    board = Switchboard()
    rules = [
        board.rule("broker", severity=AlertSeverity.WARNING),
        board.rule("backlog", severity=AlertSeverity.ERROR, muted_by=("broker",)),
    ]
    alerting = AlertWorld(world, Evaluator(rules), board)
    names = {alerting.channel("desk"): "desk", alerting.channel("boss", severity="error"): "boss"}
    board.values |= {("broker", ""): 1.0, ("backlog", ""): 1.0}
    alerting.evaluate()
    told = {names[each.channel_id]: each.deliveries[0].alert.rule for each in alerting.send()}
    assert told == {"desk": "broker", "boss": "backlog"}
    board.values["broker", ""] = 0
    alerting.wait(61)
    alerting.evaluate()  # the cause is just over: the desk waits, and nobody is told twice
    assert [(names[each.channel_id], each.kind) for each in alerting.send()] == [("desk", "resolved")]


def test_the_worst_of_several_causes_is_named(world: World) -> None:
    board = Switchboard()
    rules = [
        board.rule("slow", severity=AlertSeverity.WARNING),
        board.rule("broker", severity=AlertSeverity.CRITICAL),
        board.rule("backlog", severity=AlertSeverity.ERROR, muted_by=("slow", "broker")),
    ]
    alerting = AlertWorld(world, Evaluator(rules), board)
    alerting.channel("boss", severity="error")
    board.values |= {("slow", ""): 1.0, ("broker", ""): 1.0, ("backlog", ""): 1.0}
    alerting.evaluate()
    assert [each.deliveries[0].alert.rule for each in alerting.send()] == ["broker"]
    assert world.value("select muted_by from tds_alerts where rule = 'backlog'") == "broker"


def set_quiet(alerting: AlertWorld, *, is_quiet: bool) -> None:
    """Let quiet hours of every channel be on from a minute ago, or end them."""
    now = alerting.world.value("select now()").astimezone(UTC)
    hours = f"{now - timedelta(minutes=1):%H:%M}-{now + timedelta(hours=2):%H:%M}" if is_quiet else None
    alerting.world.execute("update tds_alert_channels set quiet_hours = :hours", hours=hours)


def test_in_quiet_hours_the_end_of_what_is_critical_is_told_and_every_other_end_waits(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    alerting.board.values |= {("letters", ""): 1.0}
    alerting.evaluate()
    alerting.send()
    set_quiet(alerting, is_quiet=True)
    alerting.board.values["broker", ""] = 1
    alerting.evaluate()
    assert [each.deliveries[0].alert.rule for each in alerting.send()] == ["broker"]
    alerting.board.values |= {("letters", ""): 0.0, ("broker", ""): 0.0}
    alerting.wait(61)
    alerting.evaluate()
    [over] = alerting.send()
    assert (over.kind, [each.alert.rule for each in over.deliveries]) == ("resolved", ["broker"])
    assert alerting.send() == []
    set_quiet(alerting, is_quiet=False)
    [over] = alerting.send()
    assert (over.kind, [each.alert.rule for each in over.deliveries]) == ("resolved", ["letters"])


def test_an_end_that_waited_is_told_before_the_same_alert_fires_anew(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    alerting.send()
    set_quiet(alerting, is_quiet=True)
    alerting.board.values["letters", ""] = 0
    alerting.wait(61)
    alerting.evaluate()
    alerting.board.values["letters", ""] = 1
    alerting.wait(600)
    alerting.evaluate()
    assert alerting.send() == []
    set_quiet(alerting, is_quiet=False)
    # Another alert of the rule is worse, so that its message would come first if nothing else decided.
    alerting.board.values["letters", "invoice"] = 1
    alerting.evaluate()
    alerting.world.execute("update tds_alerts set severity = 'critical' where subject = 'invoice'")
    sent = [each for _ in range(3) for each in alerting.send()]
    assert [(each.kind, each.deliveries[0].episode) for each in sent] == [("firing", 1), ("resolved", 1), ("firing", 2)]
    # The end tells of the episode that ended, and not of the one that fires by now.
    over, anew = sent[1].deliveries[0].alert, sent[2].deliveries[0].alert
    assert (over.state, anew.state) == ("resolved", "firing")
    assert over.fired_at and over.resolved_at and anew.fired_at
    assert over.fired_at < over.resolved_at < anew.fired_at


def test_nothing_is_sent_after_an_acknowledgement(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    alerting.channel("boss", after_seconds=900)
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    alert_id = alerting.world.value("select id from tds_alerts")
    with alerting.scope() as session:
        acknowledged = operator_actions.acknowledge_alert(session, alert_id, by="ann", note="mine")
    assert acknowledged.acknowledged_by == "ann"
    alerting.wait(1000)
    alerting.evaluate()
    assert alerting.send() == []
    assert alerting.deliveries() == [("desk", "firing", "superseded")]
    alerting.wait(4 * 3600)
    alerting.evaluate()
    alerting.send()
    assert alerting.deliveries() == [("desk", "firing", "sent"), ("boss", "firing", "sent")]


def test_what_is_over_cannot_be_acknowledged(alerting: AlertWorld) -> None:
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    alert_id = alerting.world.value("select id from tds_alerts")
    with alerting.scope() as session:
        operator_actions.resolve_alert(session, alert_id, by="ann")
    with pytest.raises(AlertNotFiringError, match="is resolved: nothing to acknowledge"), alerting.scope() as session:
        operator_actions.acknowledge_alert(session, alert_id, by="ann")


def test_resolved_before_it_was_sent_both_messages_are_void(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    with alerting.scope() as session:
        operator_actions.resolve_alert(session, alerting.world.value("select id from tds_alerts"), by="ann")
    assert alerting.send() == []
    assert alerting.deliveries() == [("desk", "firing", "superseded")]


def test_a_failing_channel_is_tried_again_with_the_same_id(alerting: AlertWorld) -> None:
    channel = alerting.channel("desk")
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    [first] = alerting.send(error="503")
    assert alerting.send() == []
    alerting.wait(11)
    [second] = alerting.send()
    assert (second.message_id, second.deliveries[0].attempts) == (first.message_id, 2)
    row = alerting.world.one("select tries, state from tds_alert_deliveries where channel_id = :id", id=channel)
    assert ([each["error"] for each in row["tries"]], row["state"]) == (["503", None], "sent")


def test_a_channel_that_hangs_holds_up_no_other_and_what_is_worst_goes_first(alerting: AlertWorld) -> None:
    hanging, desk = alerting.channel("hanging"), alerting.channel("desk")
    alerting.board.values |= {("letters", ""): 1.0, ("backlog", "product"): 1.0}
    alerting.evaluate()
    assert {message.channel_id for message in alerting.claim()} == {hanging, desk}
    alerting.wait(61)
    alerting.board.values["broker", ""] = 1
    alerting.evaluate()
    with alerting.scope() as session:
        claimed = deliveries.claim(session, database_clock(session), limit=50, busy={hanging})
    assert [(each.channel_id, [d.alert.rule for d in each.deliveries]) for each in claimed] == [(desk, ["broker"])]


def test_a_message_refused_for_good_is_sent_when_its_channel_is_mended(alerting: AlertWorld) -> None:
    vault, targets = Vault(Fernet.generate_key().decode()), TargetPolicy(ports=frozenset({443}))
    with alerting.scope() as session:
        store.create(session, vault, targets, name="desk", address="https://93.184.216.34/a", by="ann", terms={})
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    [message] = alerting.claim()
    refused = SendOutcome(is_sent=False, error="401", is_permanent=True, duration_seconds=0.1)
    with alerting.scope() as session:
        deliveries.record(session, message, refused)
    alerting.wait(600)
    assert alerting.claim() == []
    with alerting.scope() as session:
        store.change(session, vault, targets, "desk", terms={}, address="https://93.184.216.34/b")
    [again] = alerting.send()
    assert [each.reason for each in again.deliveries] == ["the channel was changed"]


def test_the_alert_of_a_rule_that_is_gone_ends(alerting: AlertWorld) -> None:
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    newer = AlertWorld(alerting.world, Evaluator([alerting.board.rule("broker")]), alerting.board)
    newer.evaluate()
    assert alerting.states() == {("letters", ""): "resolved"}


def test_a_silence_that_has_not_begun_does_not_end_with_its_alerts(alerting: AlertWorld) -> None:
    with alerting.scope() as session:
        tomorrow = database_clock(session) + timedelta(days=1)
        terms = {"starts_at": tomorrow, "ends_at": tomorrow + timedelta(hours=1), "reason": "moving"}
        made = silences.create(session, Silence(rules=("letters",), ends_with_alerts=True, **terms), by="ann")
        with pytest.raises(InvalidSilenceError, match="ends after it begins"):
            silences.extend(session, made["id"], ends_at=tomorrow - timedelta(hours=3))
    alerting.evaluate()
    assert alerting.world.value("select ended_at from tds_alert_silences") is None


def test_terms_that_do_not_change_make_no_version(alerting: AlertWorld) -> None:
    with alerting.scope() as session:
        assert rule_terms.change(session, alerting.board.rule("letters"), {}, by="ann")["version"] == 1


def test_a_sender_that_died_leaves_its_message_to_the_next_one(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    [lost] = alerting.claim()
    assert alerting.claim() == []
    alerting.wait(61)
    [again] = alerting.send()
    assert again.message_id == lost.message_id


def test_a_silence_holds_back_and_its_end_tells_at_once_in_one_message(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    with alerting.scope() as session:
        now = database_clock(session)
        terms = {"starts_at": now, "ends_at": now + timedelta(minutes=10), "reason": "moving"}
        silences.create(session, Silence(rules=("letters",), **terms), by="ann")
    alerting.board.values |= {("letters", "product"): 1.0, ("letters", "invoice"): 1.0}
    alerting.evaluate()
    assert alerting.send() == []
    alerting.wait(601)
    alerting.evaluate()
    [message] = alerting.send()
    assert len(message.deliveries) == 2
    assert {each.reason for each in message.deliveries} == {"over: silence 1"}


def test_a_silence_that_ends_with_its_alerts_ends(alerting: AlertWorld) -> None:
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    with alerting.scope() as session:
        now = database_clock(session)
        terms = {"starts_at": now, "ends_at": now + timedelta(hours=10), "reason": "moving"}
        silences.create(session, Silence(rules=("letters",), ends_with_alerts=True, **terms), by="ann")
    alerting.evaluate()
    assert alerting.world.value("select ended_at from tds_alert_silences") is None
    alerting.board.values.clear()
    alerting.wait(61)
    alerting.evaluate()
    assert alerting.world.value("select ended_by from tds_alert_silences") == "tds"


def test_a_rule_that_cannot_be_measured_says_so_and_keeps_no_other_from_being_measured(alerting: AlertWorld) -> None:
    alerting.board.errors["broker"] = KeyError("x")
    alerting.board.values["letters", ""] = 1
    alerting.evaluate()
    assert alerting.states() == {("broker", ""): "no_data", ("letters", ""): "firing"}
    alerting.board.errors.clear()
    alerting.evaluate()
    assert alerting.states()["broker", ""] == "ok"


def test_without_the_database_nothing_is_concluded(alerting: AlertWorld) -> None:
    alerting.board.errors["broker"] = OperationalError("select", {}, Exception("away"))
    with pytest.raises(OperationalError):
        alerting.evaluate()
    assert alerting.states() == {}


def test_a_rule_switched_off_ends_its_alerts_and_new_terms_count_at_once(alerting: AlertWorld) -> None:
    alerting.channel("desk")
    rule = alerting.board.rule("letters")
    alerting.board.values |= {("letters", ""): 1.0}
    alerting.evaluate()
    alerting.send()
    with alerting.scope() as session:
        version = rule_terms.change(session, rule, {"is_enabled": False}, by="ann", reason="noise", seen_version=1)
    assert (version["version"], version["changed_by"]) == (2, "ann")
    alerting.evaluate()
    alerting.send()
    assert alerting.states() == {("letters", ""): "resolved"}
    assert alerting.deliveries()[-1] == ("desk", "resolved", "sent")
    with pytest.raises(rule_terms.StaleTermsError, match="is at version 2 by now, not 1"), alerting.scope() as session:
        rule_terms.change(session, rule, {"is_enabled": True}, by="bob", seen_version=1)


def test_declared_terms_that_change_become_a_version_unless_an_operator_chose(alerting: AlertWorld) -> None:
    old, new = alerting.board.rule("letters"), alerting.board.rule("letters", threshold=7)
    with alerting.scope() as session:
        assert rule_terms.terms_in_force(session, [old])["letters"].version == 1
        assert rule_terms.terms_in_force(session, [new])["letters"].threshold == 7
        rule_terms.change(session, new, {"threshold": 3}, by="ann")
        assert rule_terms.terms_in_force(session, [old])["letters"].threshold == 3
        reset = rule_terms.reset(session, old, by="ann")
        assert (reset["version"], reset["threshold"], reset["reason"]) == (4, 0.5, "reset by ann")


@pytest.mark.parametrize("changes", [
    {"severity": "mild"}, {"for_seconds": -1}, {"keep_seconds": 10**9}, {"threshold": float("nan")},
    {"threshold": float("inf")},
])  # fmt: skip
def test_terms_nobody_can_mean_are_refused(alerting: AlertWorld, changes: dict[str, object]) -> None:
    with pytest.raises(rule_terms.InvalidTermsError), alerting.scope() as session:
        rule_terms.change(session, alerting.board.rule("letters"), changes, by="ann")


def test_of_two_evaluations_at_once_every_transition_is_written_once(alerting: AlertWorld) -> None:
    other = Evaluator([alerting.board.rule("letters")])
    both = [AlertWorld(alerting.world, evaluator, alerting.board) for evaluator in (alerting.evaluator, other)]
    for value in (1.0, 0.0, 1.0):
        alerting.board.values["letters", ""] = value
        alerting.wait(120)
        together = Barrier(2)

        def look(each: AlertWorld, together: Barrier = together) -> None:
            together.wait()
            each.evaluate()

        threads = [Thread(target=look, args=(each,)) for each in both]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alerting.evaluate()
    story = [("letters", "ok", "firing"), ("letters", "firing", "resolved"), ("letters", "resolved", "firing")]
    assert transitions(alerting) == story


def test_ten_thousand_pending_alerts_are_evaluated(world: World) -> None:
    board = Switchboard()
    alerting = AlertWorld(world, Evaluator([board.rule("stale", for_seconds=300)]), board)
    alerting.channel("desk")
    board.values |= {("stale", f"entity {number}"): 1.0 for number in range(10_000)}
    alerting.evaluate()
    alerting.wait(301)
    assert alerting.evaluate().transition_count == 10_000
    assert sum(len(message.deliveries) for message in alerting.send()) == 1000
