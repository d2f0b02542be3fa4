"""Alerts as a machine: conditions come and go, people acknowledge, resolve and silence, also while an evaluation is
under way, quiet hours begin and end, evaluations and sendings run, fail and die between sending and recording, in any
order, on a real PostgreSQL.

Beside it runs what the receivers got, and what they may never get.
"""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import UTC, timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy.orm import Session

from tds_core.alerts import deliveries, operator_actions, silences
from tds_core.alerts.deliveries import BACKOFF_SECONDS, ClaimedMessage
from tds_core.alerts.evaluation import Evaluator
from tds_core.alerts.facts import AlertFacts
from tds_core.alerts.operator_actions import AlertNotFiringError
from tds_core.alerts.rule import Rule, RuleValue
from tds_core.alerts.silences import Silence
from tds_core.queue.items import database_clock
from tds_models.alerts import AlertSeverity
from tds_models.db import session_scope
from tests.support.alert_rules import outcome
from tests.support.hypothesis_effort import effort
from tests.support.world import World

CAUSE, CONSEQUENCE, QUICK = "broker_lost", "work_waits", "letters"
SERIES = ((CAUSE, ""), (CONSEQUENCE, "product"), (CONSEQUENCE, "invoice"), (QUICK, ""))
TABLES = {
    "tds_alerts": ("since_at", "seen_at", "fired_at", "resolved_at", "changed_at", "acknowledged_at",
                   "acknowledged_until"),
    "tds_alert_deliveries": ("next_attempt_at", "leased_until", "created_at", "sent_at"),
    "tds_alert_silences": ("starts_at", "ends_at"),
}  # fmt: skip
#: A message arrives, is refused, is answered too late, or its sender dies before or after it arrived.
FATES = st.sampled_from(("sent", "sent", "sent", "refused", "late", "died after", "died before"))
CHANNELS = {"first": ("warning", 0), "errors": ("error", 0), "second": ("warning", 600)}


def _rule(name: str, conditions: set[tuple[str, str]], **more: Any) -> Rule:
    def measure(_facts: AlertFacts) -> Iterator[RuleValue]:
        for rule_name, subject in SERIES:
            if rule_name == name:
                is_on = (rule_name, subject) in conditions
                yield RuleValue(value=float(is_on), says=f"{name} {subject}", subject=subject)

    words = {"title": name, "unit": "state", "cause": "", "automatic": "", "command": "", "threshold": 0.5}
    return Rule(name=name, measure=measure, **{**words, **more})


class Alerting(RuleBasedStateMachine):
    """Three rules, four subjects, three channels, one of which is a step of escalation."""

    world: ClassVar[World]

    @initialize()
    def begin(self) -> None:
        self.world.execute("alter table tds_alert_transitions disable trigger all")
        for table in ("tds_alert_deliveries", "tds_alerts", "tds_alert_channels", "tds_alert_silences",
                      "tds_alert_rules", "tds_alert_transitions", "tds_metrics"):  # fmt: skip
            self.world.execute(f"delete from {table}")
        self.world.execute("alter table tds_alert_transitions enable trigger all")
        for name, (severity, after) in CHANNELS.items():
            self.world.execute(f"""
                insert into tds_alert_channels (name, kind, locked, masked, minimum_severity, after_seconds, created_by)
                values ('{name}', 'webhook', '\\x00', '', '{severity}', {after}, 'ann')""")
        self.channels = {row["id"]: row["name"] for row in self.world.rows("select id, name from tds_alert_channels")}
        self.on: set[tuple[str, str]] = set()
        self.rules = [
            _rule(CAUSE, self.on, severity=AlertSeverity.CRITICAL),
            _rule(CONSEQUENCE, self.on, severity=AlertSeverity.WARNING, for_seconds=30, muted_by=(CAUSE,)),
            _rule(QUICK, self.on, severity=AlertSeverity.ERROR, keep_seconds=0),
        ]
        self.restart()
        self.is_quiet = False
        self.facts = AlertFacts(self.scope, None, None)  # type: ignore[arg-type]  (these rules need neither)
        #: What receivers got: channel, alert, episode, kind and number, by the id of the message.
        self.got: dict[tuple[Any, ...], list[str]] = {}
        self.order: list[tuple[Any, ...]] = []
        self.crashed: set[tuple[Any, ...]] = set()

    @rule(series=st.sampled_from(SERIES), is_on=st.booleans())
    def change(self, series: tuple[str, str], is_on: bool) -> None:
        if is_on:
            self.on.add(series)
        else:
            self.on.discard(series)

    @rule(seconds=st.sampled_from((15, 15, 30, 61, 200, 700, 3_700, 15_000)))
    def wait(self, seconds: int) -> None:
        for table, columns in TABLES.items():
            moved = ", ".join(f"{column} = {column} - interval '{seconds} seconds'" for column in columns)
            self.world.execute(f"update {table} set {moved}")
        self.world.execute(f"""
            update tds_alerts set recent_firings =
                array(select at - interval '{seconds} seconds' from unnest(recent_firings) as at)""")

    @rule()
    def restart(self) -> None:
        """The process that evaluates is another: what it knows is what stands in the tables."""
        self.evaluator = Evaluator(self.rules)

    @rule(is_on=st.booleans())
    def quiet(self, is_on: bool) -> None:
        """The quiet hours of the first channel are on from an hour ago, or it has none."""
        now = self.world.value("select now()").astimezone(UTC)
        hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}" if is_on else None
        self.world.execute("update tds_alert_channels set quiet_hours = :hours where name = 'first'", hours=hours)
        self.is_quiet = is_on

    @rule()
    def evaluate(self) -> None:
        self.evaluator.evaluate(self.facts)

    @rule(seconds=st.sampled_from((15, 60, 300)))
    def evaluate_later(self, seconds: int) -> None:
        self.wait(seconds)
        self.evaluate()

    @rule(series=st.sampled_from(SERIES))
    def fire(self, series: tuple[str, str]) -> None:
        self.change(series, True)
        self.evaluate()
        self.evaluate_later(30)

    @rule(series=st.sampled_from(SERIES))
    def end(self, series: tuple[str, str]) -> None:
        self.change(series, False)
        self.evaluate_later(61)

    @rule(series=st.sampled_from(SERIES), act=st.sampled_from(("acknowledge", "resolve", "silence", "end")))
    def act_before_it_is_sent(self, series: tuple[str, str], act: str) -> None:
        self.fire(series)
        alert_id = self.world.value("select id from tds_alerts where rule = :rule and subject = :subject",
                                    rule=series[0], subject=series[1])  # fmt: skip
        if act == "silence":
            self.silence(series[0], ends_with=False, minutes=1)
        elif act == "end":
            self.end(series)
        else:
            self.by_hand(act, alert_id)
        self.send(["sent", "died after"], 6)

    @rule(series=st.sampled_from(SERIES), act=st.sampled_from(("acknowledge", "resolve")), fate=FATES)
    def act_while_it_is_under_way(self, series: tuple[str, str], act: str, fate: str) -> None:
        self.fire(series)
        claimed = self.claim(6)
        alert_id = self.world.value("select id from tds_alerts where rule = :rule and subject = :subject",
                                    rule=series[0], subject=series[1])  # fmt: skip
        self.by_hand(act, alert_id)
        for message in claimed:
            self.attempt(message, fate)
        self.wait(61)
        self.send(["sent"], 6)
        self.end(series)
        self.send(["sent"], 6)

    @rule(series=st.sampled_from(SERIES), act=st.sampled_from(("acknowledge", "resolve")), goes_on=st.booleans())
    def act_while_it_is_evaluated(self, series: tuple[str, str], act: str, goes_on: bool) -> None:
        """An evaluation has read the alert as it was before, and decides about it after somebody acted."""
        self.fire(series)
        alert_id = self.world.value("select id from tds_alerts where rule = :rule and subject = :subject",
                                    rule=series[0], subject=series[1])  # fmt: skip
        self.change(series, goes_on)
        self.wait(61)
        with ThreadPoolExecutor(1) as thread:
            with suppress(AlertNotFiringError), self.scope() as session:
                self.decide(session, act, alert_id)
                evaluation = thread.submit(self.evaluate)
                self.wait_until_it_waits(evaluation)
            evaluation.result()

    def wait_until_it_waits(self, evaluation: Future[None]) -> None:
        """Until an evaluation waits for a lock, or has nothing to write and is done."""
        waiting = (
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        while not evaluation.done() and not self.world.value(waiting):
            time.sleep(0.005)

    @rule(fates=st.lists(FATES, min_size=1, max_size=4), limit=st.integers(1, 6))
    def send(self, fates: list[str], limit: int) -> None:
        for number, message in enumerate(self.claim(limit)):
            self.attempt(message, fates[number % len(fates)])

    def claim(self, limit: int) -> list[ClaimedMessage]:
        with self.scope() as session:
            claimed = deliveries.claim(session, database_clock(session), limit=limit)
        for message in claimed:
            self.check_claim(message)
        return claimed

    def check_claim(self, message: ClaimedMessage) -> None:
        for each in message.deliveries:
            if each.kind != "resolved":
                assert each.alert.state in ("firing", "flapping"), (
                    "a message about an alert that is acknowledged or over"
                )
                assert each.alert.episode == each.episode
            if self.is_quiet and self.channels[message.channel_id] == "first":
                assert each.alert.severity == "critical", "a message in quiet hours"

    def attempt(self, message: ClaimedMessage, fate: str) -> None:
        for each in message.deliveries:
            key = (message.channel_id, each.alert.id, each.episode, each.kind, each.number)
            if fate in ("sent", "late", "died after"):
                self.got.setdefault(key, []).append(str(message.message_id))
                self.order.append(key)
            if fate in ("late", "died after"):
                self.crashed.add(key)
        if fate in ("sent", "refused", "late"):
            error = None if fate == "sent" else fate
            with self.scope() as session:
                deliveries.record(session, message, outcome(error, may_have_arrived=fate == "late"))

    @rule(act=st.sampled_from(("acknowledge", "take back", "resolve")), which=st.integers(0, 3))
    def act(self, act: str, which: int) -> None:
        if (alert_id := self.alert_id(which)) is not None:
            self.by_hand(act, alert_id)

    def by_hand(self, act: str, alert_id: int) -> None:
        with suppress(AlertNotFiringError), self.scope() as session:
            self.decide(session, act, alert_id)

    @staticmethod
    def decide(session: Session, act: str, alert_id: int) -> None:
        if act == "acknowledge":
            operator_actions.acknowledge_alert(session, alert_id, by="ann", lasts=timedelta(hours=1))
        elif act == "take back":
            operator_actions.unacknowledge_alert(session, alert_id, by="ann")
        else:
            operator_actions.resolve_alert(session, alert_id, by="ann")

    @rule(name=st.sampled_from((CAUSE, CONSEQUENCE, QUICK)), ends_with=st.booleans(), minutes=st.sampled_from((1, 60)))
    def silence(self, name: str, ends_with: bool, minutes: int) -> None:
        with self.scope() as session:
            now = database_clock(session)
            terms = {"starts_at": now, "ends_at": now + timedelta(minutes=minutes), "ends_with_alerts": ends_with}
            silences.create(session, Silence(rules=(name,), reason="work on it", **terms), by="ann")

    def scope(self) -> AbstractContextManager[Session]:
        return session_scope(self.world.engine)

    def alert_id(self, which: int) -> int | None:
        """The id of an alert, of one that fires if any does."""
        ids = [
            row["id"]
            for row in self.world.rows("""
            select id from tds_alerts where state in ('firing', 'flapping') or not exists (
                select from tds_alerts where state in ('firing', 'flapping')) order by id""")
        ]
        return ids[which % len(ids)] if ids else None

    @invariant()
    def every_transition_follows_the_one_before(self) -> None:
        states = {row["id"]: (row["state"], row["episode"]) for row in self.world.rows("select * from tds_alerts")}
        last: dict[int, tuple[str, int]] = {}
        for row in self.world.rows("select * from tds_alert_transitions order by id"):
            assert row["from_state"] == last.get(row["alert_id"], ("ok", 0))[0], "a transition is missing"
            last[row["alert_id"]] = (row["to_state"], row["episode"])
        assert {key: value for key, value in states.items() if value != ("ok", 0)} == {
            key: value for key, value in last.items() if value != ("ok", 0)
        }

    @invariant()
    def an_end_follows_its_beginning(self) -> None:
        seen = set()
        for channel, alert, episode, kind, number in self.order:
            if kind == "resolved":
                told = {"firing", "reminder"}
                began = {each for each in seen if each[:3] == (channel, alert, episode) and each[3] in told}
                may_have = any(key[:3] == (channel, alert, episode) for key in self.attempted())
                assert began or may_have, "an end without its beginning"
            seen.add((channel, alert, episode, kind, number))

    def attempted(self) -> list[tuple[Any, ...]]:
        """Deliveries whose sender died: they may have arrived."""
        return [
            (row["channel_id"], row["alert_id"], row["episode"])
            for row in self.world.rows("""select * from tds_alert_deliveries
                where kind <> 'resolved' and (lease_token is not null or tries::text like '%may_have%')""")
        ]

    @invariant()
    def twice_only_after_a_crash_and_with_the_same_id(self) -> None:
        for key, ids in self.got.items():
            assert len(ids) == 1 or (key in self.crashed and len(set(ids)) == 1), (key, ids)

    def teardown(self) -> None:
        """In the end everything is fired, told and over: nobody waits for a message in vain."""
        if not hasattr(self, "channels"):
            return
        self.world.execute("update tds_alert_silences set ended_at = now() where ended_at is null")
        self.quiet(False)
        self.on.update(SERIES)
        self.settle(6 * 3_600)
        self.on.discard((CAUSE, ""))
        self.settle(6 * 3_600)
        self.check_everybody_knows()
        self.on.clear()
        self.settle(3 * 3_600)
        left = self.world.rows("select * from tds_alert_deliveries where state = 'queued'")
        assert not left, left
        self.check_ends()

    def settle(self, seconds: int) -> None:
        for _ in range(4):
            self.evaluate()
            self.send(["sent"], 50)
            self.send(["sent"], 50)
            self.wait(max(seconds // 4, BACKOFF_SECONDS[0]))

    def check_everybody_knows(self) -> None:
        for row in self.world.rows("select * from tds_alerts where state in ('firing', 'flapping')"):
            for channel, name in self.channels.items():
                if name == "errors" and row["severity"] == "warning":
                    continue
                got = Counter(key[3] for key in self.got if key[:3] == (channel, row["id"], row["episode"]))
                assert got["firing"] or got["reminder"] or row["muted_by"], (name, dict(row))

    def check_ends(self) -> None:
        for channel, alert, episode, kind, _number in self.got:
            if kind != "resolved":
                assert (channel, alert, episode, "resolved", 0) in self.got, "a beginning without its end"


def test_no_order_of_events_loses_a_transition_or_tells_a_lie(world: World) -> None:
    Alerting.world = world
    run_state_machine_as_test(Alerting, settings=effort(20, steps=20))
