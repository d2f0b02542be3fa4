"""Good webhooks: durable before the answer, counted once, and never acknowledged while they cannot be kept."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Engine, text

from tds_api.nudger import Nudger
from tds_core.inbox.rejected import Rejection, keep_rejected
from tds_models.db import session_scope
from tests.support.webhook_sender import FORM, GENERIC, PATH, PREVIOUS_SECRET, Sender, item, sender_for, wrapped


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return False


def test_an_accepted_webhook_is_an_event_and_a_work_item_when_the_answer_comes(sender: Sender) -> None:
    answer = sender.send(wrapped("1"), headers={"X-Correlation-Id": "from-zoho-1"})
    assert (answer.status_code, answer.json["duplicate"]) == (202, False)
    assert answer.headers["X-Correlation-Id"] == "from-zoho-1"
    event = sender.rows("select * from tds_inbox_events")[0]
    work = sender.rows("select * from tds_sync_queue")[0]
    assert (event.id, event.record, event.complete) == (int(answer.json["event_id"]), item("1"), True)
    assert (event.correlation_id, work.correlation_id) == ("from-zoho-1", "from-zoho-1")
    assert (work.entity, work.source_id, work.generation) == ("product", "1", event.generation)
    assert eventually(lambda: sender.nudged == ["product"])


def test_a_correlation_id_nobody_should_log_is_replaced(sender: Sender) -> None:
    answer = sender.send(wrapped(), headers={"X-Correlation-Id": "x" * 65})
    assert len(answer.headers["X-Correlation-Id"]) == 32


def test_the_same_content_again_is_answered_with_the_first_event(sender: Sender) -> None:
    first = sender.send(wrapped("1"))
    again = [sender.send(wrapped("1")) for _ in range(3)]
    assert [answer.status_code for answer in again] == [200, 200, 200]
    assert {answer.json["event_id"] for answer in again} == {first.json["event_id"]}
    assert all(answer.json["duplicate"] for answer in again)
    assert sender.count("tds_inbox_events") == 1
    assert sender.get("/api/tds/zoho/webhooks/recent").json["items"][0]["duplicate_count"] == 3


def test_twenty_at_once_with_the_same_content_are_one_event(sender: Sender) -> None:
    start = threading.Barrier(20)

    def send(_: int) -> Any:
        start.wait()
        return sender.send(wrapped("1"))

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(send, range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len({answer.json["event_id"] for answer in answers}) == 1
    assert (sender.count("tds_inbox_events"), sender.count("tds_sync_queue")) == (1, 1)


def test_duplicates_in_one_burst_are_one_event(sender: Sender) -> None:
    with sender.engine.begin() as blocker:
        blocker.execute(text("lock table tds_inbox_fingerprints in access exclusive mode"))
        with ThreadPoolExecutor(20) as threads:
            first = threads.submit(sender.send, wrapped("first"))
            time.sleep(0.2)  # it waits for the lock; what comes now becomes one burst
            rest = [threads.submit(sender.send, wrapped(str(n % 3))) for n in range(15)]
            time.sleep(0.3)
            blocker.commit()
            answers = [future.result() for future in rest]
            assert first.result().status_code == 202
    assert sorted(answer.status_code for answer in answers) == [200] * 12 + [202] * 3
    assert len({answer.json["event_id"] for answer in answers}) == 3
    assert sender.count("tds_inbox_events") == 4


def test_a_burst_of_edits_to_one_record_is_many_events_and_one_work_item(sender: Sender) -> None:
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda n: sender.send(wrapped("1", name=f"Name {n}")), range(60)))
    assert {answer.status_code for answer in answers} == {202}
    assert (sender.count("tds_inbox_events"), sender.count("tds_sync_queue")) == (60, 1)


def test_ids_of_nineteen_digits_are_kept_exactly(sender: Sender) -> None:
    body = b'{"item":{"item_id":9007199254740993123,"name":"x","rate":0.1}}'
    assert sender.send(body).status_code == 202
    event = sender.rows("select source_id, record->>'item_id' as id, record->>'rate' as rate from tds_inbox_events")[0]
    assert tuple(event) == ("9007199254740993123", "9007199254740993123", "0.1")
    assert sender.rows("select source_id from tds_sync_queue")[0].source_id == "9007199254740993123"


@pytest.mark.parametrize(("body", "arguments"), [
    (wrapped("1"), {}),
    (json.dumps(item("1")).encode(), {}),
    (urlencode({"JSONString": wrapped("1").decode()}).encode(), {"content_type": FORM}),
    (urlencode(item("1")).encode(), {"content_type": FORM}),
    (wrapped("1"), {"path": GENERIC}),
    (wrapped("1"), {"path": GENERIC, "query": "entity=item&event=updated"}),
    (wrapped("1"), {"query": "b=2&a=1"}),
    (wrapped("1"), {"path": GENERIC, "headers": {"X-TDS-Event": "product.updated"}}),
    (wrapped("1"), {"secret": PREVIOUS_SECRET}),
])  # fmt: skip
def test_every_form_a_webhook_may_take_is_accepted(sender: Sender, body: bytes, arguments: dict[str, Any]) -> None:
    arguments = dict(arguments)
    answer = sender.send(body, arguments.pop("path", PATH), **arguments)
    assert answer.status_code == 202, answer.text
    assert sender.rows("select entity, source_id from tds_sync_queue") == [("product", "1")]


def test_an_address_with_a_slash_too_many_is_taken_like_any_other(sender: Sender) -> None:
    answer = sender.send(wrapped("1"), f"{PATH}/", headers={"X-Correlation-Id": "mine"})
    assert (answer.status_code, answer.headers["X-Correlation-Id"]) == (202, "mine")
    assert sender.send(wrapped("1")).json == {**answer.json, "duplicate": True}


def test_a_bug_on_the_way_in_is_a_problem_that_names_its_log_line(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tds_api.webhooks.endpoint.parse", lambda **_: 1 / 0)
    answer = sender.send(wrapped(), headers={"X-Correlation-Id": "mine"})
    assert (answer.status_code, answer.json["code"], answer.json["correlation_id"]) == (500, "internal_error", "mine")


def test_a_signature_over_the_body_alone_does_not_cover_a_query(sender: Sender) -> None:
    body = wrapped("1")
    signed = sender.send(body, GENERIC, query="entity=product&event=updated")
    assert signed.status_code == 202
    forged = sender.app.test_client().post(
        f"{GENERIC}?entity=product&event=deleted", data=body, headers=dict(signed.request.headers)
    )
    assert forged.status_code == 401


def test_a_retired_secret_is_no_longer_believed(database: str, engine: Engine) -> None:
    with sender_for(database, engine, ZOHO_WEBHOOK_SECRET_PREVIOUS="") as sender:
        assert sender.send(wrapped(), secret=PREVIOUS_SECRET).status_code == 401


def test_unsigned_mode_takes_unsigned_webhooks(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_UNSIGNED_WEBHOOKS="yes") as sender:
        assert sender.send(wrapped(), secret=None).status_code == 202


def test_without_a_secret_and_without_unsigned_mode_nothing_is_taken(database: str, engine: Engine) -> None:
    with sender_for(database, engine, ZOHO_WEBHOOK_SECRET="", ZOHO_WEBHOOK_SECRET_PREVIOUS="") as sender:
        answer = sender.send(wrapped())
        assert (answer.status_code, answer.json["code"]) == (401, "signature_secret_unset")
        assert sender.count("tds_inbox_events") == 0


def test_a_deletion_is_never_applied_from_its_body(sender: Sender) -> None:
    assert sender.send(wrapped("1"), f"{GENERIC}/product/deleted").status_code == 202
    assert sender.rows("select event, complete from tds_inbox_events") == [("deleted", False)]
    assert sender.rows("select must_read from tds_sync_queue") == [(True,)]


def test_with_the_database_away_nothing_is_acknowledged(engine: Engine) -> None:
    with sender_for("postgresql://nobody@127.0.0.1:9/none", engine) as sender:
        answer = sender.send(wrapped())
        assert (answer.status_code, answer.json["code"]) == (503, "intake_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert sender.send(b"{").status_code == 503, "a quarantined delivery must be kept before it is answered"
        assert sender.send(wrapped(), secret=None).status_code == 401


def test_a_webhook_is_taken_again_once_the_database_is_back(sender: Sender) -> None:
    assert sender.send(wrapped("1")).status_code == 202
    with sender.engine.begin() as connection:
        connection.execute(text("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"
                                " and datname = current_database()"))  # fmt: skip
    answers = [sender.send(wrapped("2")).status_code for _ in range(2)]
    assert answers[-1] in (200, 202)
    assert sender.count("tds_inbox_events") == 2


def test_a_database_that_hangs_costs_the_sender_seconds_and_no_webhook(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tds_api.inbox.group_commit.PATIENCE_SECONDS", 0.3)
    with sender.engine.begin() as blocker:
        blocker.execute(text("lock table tds_inbox_fingerprints in access exclusive mode"))
        answer = sender.send(wrapped("1"))
        assert (answer.status_code, answer.json["code"]) == (503, "intake_unavailable")
        blocker.commit()
    assert eventually(lambda: sender.count("tds_inbox_events") == 1)
    again = sender.send(wrapped("1"))
    assert (again.status_code, again.json["duplicate"]) == (200, True)


def test_a_wait_that_is_too_long_is_said_at_once(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tds_api.inbox.group_commit.LONGEST_WAIT_SECONDS", 0.3)
    with sender.engine.begin() as blocker, ThreadPoolExecutor(2) as threads:
        blocker.execute(text("lock table tds_inbox_fingerprints in access exclusive mode"))
        early = [threads.submit(sender.send, wrapped("1"))]
        time.sleep(0.1)
        early.append(threads.submit(sender.send, wrapped("2")))
        time.sleep(0.5)
        answer = sender.send(wrapped("3"))
        assert (answer.status_code, answer.json["code"]) == (503, "intake_overloaded")
        assert answer.headers["Retry-After"] == "5"
        blocker.commit()
        assert {each.result().status_code for each in early} == {202}
    assert sorted(row[0] for row in sender.rows("select source_id from tds_inbox_events")) == ["1", "2"]
    assert sender.send(wrapped("3")).status_code == 202


def test_what_was_answered_503_before_its_turn_is_not_stored(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tds_api.inbox.group_commit.PATIENCE_SECONDS", 0.3)
    with sender.engine.begin() as blocker, ThreadPoolExecutor(2) as threads:
        blocker.execute(text("lock table tds_inbox_fingerprints in access exclusive mode"))
        first = threads.submit(sender.send, wrapped("1"))
        time.sleep(0.1)
        second = threads.submit(sender.send, wrapped("2"))
        assert [first.result().status_code, second.result().status_code] == [503, 503]
        blocker.commit()
    assert sender.send(wrapped("3")).status_code == 202
    stored = sender.rows("select source_id from tds_inbox_events order by source_id")
    assert [row.source_id for row in stored] == ["1", "3"], "the first was on its way to the database already"


def test_every_503_is_counted_with_its_time_and_shown_in_health(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    unstored = sender.app.extensions["tds"].unstored
    monkeypatch.setattr("tds_api.inbox.group_commit.PATIENCE_SECONDS", 0.05)
    with sender.engine.begin() as blocker:
        blocker.execute(text("lock table tds_inbox_fingerprints in access exclusive mode"))
        assert [sender.send(wrapped(str(n))).status_code for n in range(3)] == [503] * 3
        blocker.commit()
    assert eventually(lambda: unstored.write() and sender.count("tds_unstored_webhooks") > 0)
    components = {each["name"]: each for each in sender.get("/api/tds/health/complete").json["components"]}
    assert components["reception"]["state"] == "warning"
    assert components["reception"]["says"].startswith("3 webhooks met a 503 from ")
    assert "intake_unavailable" in components["reception"]["says"]
    with sender.engine.begin() as connection:
        connection.execute(text("update tds_unstored_webhooks set last_at = last_at - interval '6 minutes'"))
    components = {each["name"]: each for each in sender.get("/api/tds/health/complete").json["components"]}
    assert components["reception"]["state"] == "ok"
    assert components["reception"]["says"].startswith("3 webhooks met a 503 from "), "it stays known for an hour"


def test_the_nudger_calls_once_for_a_burst_and_outlives_an_outage() -> None:
    rung: list[str] = []
    away = threading.Event()

    def nudge(entity: str) -> None:
        if away.is_set():
            raise ConnectionError("Redis is away")
        rung.append(entity)

    nudger = Nudger(nudge)
    for _ in range(50):
        nudger.request(["product"])
    assert eventually(lambda: bool(rung))
    assert len(rung) <= 3
    away.set()
    nudger.request(["invoice"])
    time.sleep(0.2)
    away.clear()
    assert eventually(lambda: "invoice" in rung)


def test_the_nudger_tells_of_one_entity_at_once_while_another_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tds_api.nudger.PAUSE_SECONDS", 3600)
    rung: list[str] = []
    nudger = Nudger(rung.append)
    for entities in (["product"], ["product"], ["invoice"], ["invoice", "bill"]):
        nudger.request(entities)
        assert eventually(lambda entities=entities: entities[-1] in rung)
    assert rung == ["product", "invoice", "bill"]


def test_refused_deliveries_are_bounded(engine: Engine) -> None:
    def rejected(number: int) -> Rejection:
        return Rejection(
            reason="signature_wrong", detail=str(number), status=401, path="/\x00", headers={"A": "\x00\ud800"},
            remote_address=None, body=b"", body_size=0, correlation_id="c",
        )  # fmt: skip

    for number in range(30):
        with session_scope(engine) as session:
            keep_rejected(session, rejected(number), kept_rows=10)
    with engine.connect() as connection:
        kept = connection.execute(text("select detail from tds_rejected_deliveries order by id")).scalars().all()
    assert kept == [str(number) for number in range(20, 30)]


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/api/tds/zoho/webhooks/bill/deleted", "/api/tds/zoho/webhooks/bill/deleted/"])
def test_a_rule_may_send_with_put_and_delete(sender: Sender, method: str, path: str) -> None:
    answer = sender.send(json.dumps({"bill": {"bill_id": "77"}}).encode(), path, method=method)
    assert answer.status_code == 202
    [event] = sender.rows("select entity, event, source_id from tds_inbox_events")
    assert tuple(event) == ("bill", "deleted", "77")


def test_a_deletion_named_by_parameters_alone_is_an_event(sender: Sender) -> None:
    answer = sender.send(b"", GENERIC, method="DELETE", query="bill_id=77&organization_id=1", content_type="")
    assert answer.status_code == 202
    [event] = sender.rows("select entity, event, source_id from tds_inbox_events")
    assert tuple(event) == ("bill", "deleted", "77")


def test_parameters_nobody_understands_are_kept(sender: Sender) -> None:
    answer = sender.send(b"", GENERIC, method="DELETE", query="thing_id=77", content_type="")
    assert answer.status_code == 422
    [event] = sender.rows("select verdict, raw from tds_inbox_events")
    assert (event.verdict, bytes(event.raw)) == ("quarantined", b"thing_id=77")
