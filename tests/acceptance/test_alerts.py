"""Faults of every kind on a whole stack: each is at a mail and a webhook receiver within a minute, once, by its name.

The tests follow each other on one stack: what one of them mends, the last one sees end.
"""

import json
import sys
import time
from collections.abc import Iterator

import pytest

from tds_core.alerts import rule_terms
from tds_core.alerts.rules import rule_of
from tds_core.breakers.registry import open_breakers
from tds_core.dead_letters import operator_actions
from tds_core.quality import findings
from tds_core.quality.findings import NewFinding
from tds_core.sync import mass_change_guard
from tds_core.webhook_coverage.gap_findings import RULE_OFF
from tds_models.db import session_scope
from tds_models.findings import Severity
from tests.acceptance.alert_stack import BREAK_RULE, DISPATCHER, AlertStack, alerting, broken_item
from tests.acceptance.fault_log import FaultLog
from tests.acceptance.workers import wait_for
from tests.support.alert_arrivals import MAIL, WEBHOOK, Arrivals, arriving

pytestmark = [pytest.mark.acceptance, pytest.mark.long]

#: Of the machine the test runs on, not of what is done here.
OF_THE_MACHINE = {"disk", "memory"}
FILL = """
insert into tds_sync_queue (source, entity, source_id, priority, correlation_id, next_attempt_at)
select 'zoho', 'bill', 'waits-' || n, 5, 'test', now() + interval '1 hour'
from generate_series(cast(:first as int), cast(:last as int)) n on conflict do nothing
"""
EMPTY = "delete from tds_sync_queue where source_id like 'waits-%'"


@pytest.fixture(scope="module")
def arrivals() -> Iterator[Arrivals]:
    with arriving() as arrivals:
        yield arrivals


@pytest.fixture(scope="module")
def stack(arrivals: Arrivals) -> Iterator[AlertStack]:
    with alerting(arrivals) as stack:
        yield stack


@pytest.fixture(scope="module")
def log(arrivals: Arrivals) -> FaultLog:
    return FaultLog(arrivals)


def test_planned_restart_of_the_workers_sends_nothing(stack: AlertStack, arrivals: Arrivals) -> None:
    stack.command("workers", "stop")
    stack.command("workers", "start", "--count", "1")
    time.sleep(20)  # one evaluation at least that sees them gone or back
    assert arrivals.posted() == []


def switch_rule_off(stack: AlertStack) -> None:
    """What the coverage of webhooks finds when a workflow rule is off."""
    detail = {"missed_count": 12}
    with session_scope(stack.engine) as session:
        off = NewFinding(
            kind=RULE_OFF, severity=Severity.WARNING, source="zoho", entity="invoice", subject="all", detail=detail
        )
        findings.report_many(session, [off])


def hold_run(stack: AlertStack) -> int:
    """Every product is changed in Zoho, and a full run finds it."""
    for each in stack.dump("items"):
        edit = {"module": "item", "action": "update", "id": each["item_id"], "changes": {"rate": 77.5}}
        stack.control("POST", "/edit", edit)
    return stack.request_run("product")


def edit_history(stack: AlertStack, by: int) -> None:
    """An administrator of the database switches the triggers off and edits a sealed row."""
    row = stack.value(
        "select min(id) from tds_audit_trail where id <= (select max(last_id) from tds_audit_seals"
        " where trail = 'tds_audit_trail')"
    )
    with session_scope(stack.engine) as session:
        for statement in (
            "alter table tds_audit_trail disable trigger user",
            f"update tds_audit_trail set origin_id = origin_id + {by} where id = {row}",
            "alter table tds_audit_trail enable trigger user",
        ):
            session.connection().exec_driver_sql(statement)


def end_slot(stack: AlertStack, result: str) -> None:
    """A slot of the daily comparison ends like this."""
    stack.execute(
        "insert into tds_schedule_slots (job, slot_at, claimed_at, ended_at, result)"
        " values ('comparison', clock_timestamp(), now(), now(), :result)",
        result=result,
    )


def get_stuck(stack: AlertStack) -> None:
    """A worker has held an item for more than an hour."""
    with session_scope(stack.engine) as session:
        rule_terms.change(session, rule_of("stuck_work"), {"for_seconds": 0}, by="test")
    stack.execute(
        "insert into tds_sync_queue (source, entity, source_id, priority, correlation_id, lease_token, leased_until,"
        " leased_by, updated_at) values ('zoho', 'bill', 'stuck', 5, 'test', gen_random_uuid(),"
        " now() + interval '1 hour', 'elsewhere', now() - interval '70 minutes')"
    )


def test_a_rule_off_arrives_before_the_forged_webhooks_that_would_explain_it(stack: AlertStack, log: FaultLog) -> None:
    log.begin("webhook_rule_off", "a workflow rule of Zoho is switched off (its finding)", subject="invoice")
    switch_rule_off(stack)
    log.begin("stuck_work", "an item is held for 70 minutes (`for` set to 0)")
    get_stuck(stack)
    log.begin("slot_missed", "the daily comparison fails", subject="comparison")
    end_slot(stack, "failed")
    log.begin("held_run", "every product is changed, and a full sync finds it", subject="product")
    held = hold_run(stack)
    log.begin("audit_chain_broken", "a sealed row of the history is edited")
    edit_history(stack, 1)
    log.begin("backlog", "1,001 items wait")
    stack.execute(FILL, first=1, last=1001)
    assert log.late("webhook_rule_off", "stuck_work", "slot_missed") == [], stack.alerts()
    stack.execute("update tds_findings set resolved_at = now() where kind = :kind", kind=RULE_OFF)
    stack.execute("delete from tds_sync_queue where source_id = 'stuck'")
    end_slot(stack, "completed")
    log.mended("webhook_rule_off", "stuck_work", "slot_missed")
    log.begin("forged_webhooks", "50 webhooks with a wrong signature")
    assert {stack.webhook(broken_item(n), "product/updated", secret="wrong") for n in range(50)} == {401}
    assert log.late("forged_webhooks", "held_run", "audit_chain_broken", "backlog") == [], stack.alerts()
    stack.execute("update tds_rejected_deliveries set received_at = received_at - interval '11 minutes'")
    with session_scope(stack.engine) as session:
        mass_change_guard.reject(session, held, by="test")
    edit_history(stack, -1)
    log.mended("forged_webhooks", "held_run", "audit_chain_broken")


def test_a_storm_of_dead_letters_is_one_message_and_a_larger_backlog_another(
    stack: AlertStack, arrivals: Arrivals, log: FaultLog
) -> None:
    log.begin("backlog_critical", "5,001 items wait")
    stack.execute(FILL, first=1002, last=5001)
    log.begin("dead_letters", "101 webhooks whose records break a rule")
    log.begin("failure_rate", "the same")
    stack.execute(BREAK_RULE)
    assert {stack.webhook(broken_item(n), "product/updated") for n in range(101)} == {202}
    assert log.late("backlog_critical", "dead_letters", "failure_rate") == [], stack.alerts()
    stack.execute(EMPTY)
    log.mended("backlog", "backlog_critical")
    [told] = [each.alert for each in arrivals.posted() if each.rule == "dead_letters"]
    assert told["value"] >= 101
    assert [group["count"] for group in told["detail"]["groups"]] == [told["value"]]
    assert told["command"].startswith("tds dead-letter")
    with session_scope(stack.engine) as session:
        for row in session.connection().exec_driver_sql("select id from tds_dead_letter_queue").all():
            operator_actions.resolve(session, row.id, note="test", by="test")
    stack.execute("update tds_sync_logs set ended_at = ended_at - interval '11 minutes'")
    log.mended("dead_letters", "failure_rate")


def test_a_part_of_zoho_that_fails_is_told_by_its_breaker(stack: AlertStack, log: FaultLog) -> None:
    log.begin("breaker_open", "every call for contacts is answered 500", subject=None)
    stack.control("POST", "/fault-once", {"kind": "error_500", "count": 0, "path_prefix": "/books/v3/contacts"})
    for each in stack.dump("contacts")[:8]:
        contact = {name: each[name] for name in ("contact_id", "contact_type")}
        stack.webhook(json.dumps({"contact": contact}).encode(), "customer/updated")
    assert log.late("breaker_open") == [], stack.alerts()
    stack.control("DELETE", "/faults")
    breakers = open_breakers(stack.settings)
    for each in breakers.states():
        breakers.reset(each.name, by="test")
    log.mended("breaker_open")


def test_a_revoked_token(stack: AlertStack, log: FaultLog) -> None:
    log.begin("zoho_refused", "the refresh token is revoked")
    stack.control("POST", "/refresh-tokens", {"on": False})
    stack.request_run("vendor")
    assert log.late("zoho_refused") == [], stack.alerts()
    stack.control("POST", "/refresh-tokens", {"on": True})
    # By itself TDS asks again after ten minutes.
    stack.execute("update tds_source_tokens set blocked_until = now()")
    stack.execute("update tds_sync_runs set next_attempt_at = now() where state = 'running'")
    log.mended("zoho_refused")


def test_dead_workers_and_redis_are_told_and_what_follows_from_them_is_not(stack: AlertStack, log: FaultLog) -> None:
    log.begin("no_worker", "all workers are killed")
    log.begin("redis_lost", "Redis is stopped")
    stack.kill_workers()
    stack.stack.servers["Redis"].stop()
    stack.execute(FILL, first=1, last=5001)
    assert log.late("no_worker", "redis_lost") == [], stack.alerts()
    muted = "select muted_by from tds_alerts where rule = 'backlog_critical' and state = 'firing'"
    assert wait_for(lambda: [row[0] for row in stack.rows(muted)] == ["redis_lost"], 60)
    stack.execute(EMPTY)
    stack.stack.servers["Redis"].start()
    log.mended("redis_lost")
    stack.command("workers", "start", "--count", "1")
    log.mended("no_worker")


def test_the_api_tells_of_the_dispatcher(stack: AlertStack, log: FaultLog) -> None:
    log.begin("dispatcher_silent", "the dispatcher is killed")
    stack.kill(DISPATCHER)
    assert log.late("dispatcher_silent") == [], stack.alerts()
    stack.start(DISPATCHER)
    log.mended("dispatcher_silent")


def test_the_loss_of_postgresql_is_told_without_it(stack: AlertStack, arrivals: Arrivals, log: FaultLog) -> None:
    log.begin("database_lost", "PostgreSQL is stopped")
    stack.stack.servers["PostgreSQL"].stop()
    try:
        assert log.late("database_lost") == [], stack.alerts()
        time.sleep(10)
    finally:
        stack.stack.servers["PostgreSQL"].start()
    log.mended("database_lost")
    assert log.open("database_lost") == []
    stored = stack.rows("select state, episode from tds_alerts where rule = 'database_lost'")
    assert [tuple(each) for each in stored] == [("resolved", 1)]


def test_every_end_is_told_and_nothing_else_was(stack: AlertStack, arrivals: Arrivals, log: FaultLog) -> None:
    rules = tuple(log.faults)
    still_open = log.open(*rules)
    sys.stdout.write(f"\n{log.table()}\n")
    assert still_open == [], stack.alerts()
    wanted = {(rule, kind): 1 for rule in rules for kind in ("firing", "resolved")}
    for receiver in (WEBHOOK, MAIL):
        counts = {key: count for key, count in log.counts(receiver).items() if key[0] not in OF_THE_MACHINE}
        assert counts == wanted
    assert log.repeated() == []
    assert arrivals.unverified_count == 0
    assert log.slow() == []
