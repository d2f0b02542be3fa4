"""What machines ask: alive, ready, healthy, and how much of everything."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tds_core.health import infrastructure
from tds_core.observability import heartbeats
from tds_core.schedule import job_store
from tds_tasks import celeryconfig
from tests.support.database_role import superuser
from tests.support.webhook_sender import Sender, sender_for, wrapped

AWAY = "postgresql://nobody@127.0.0.1:9/none"


@pytest.fixture
def sender(database: str, engine: Engine) -> Iterator[Sender]:
    with sender_for(database, engine) as sender:
        yield sender


def scraped(sender: Sender) -> dict[tuple[str, ...], float]:
    page = sender.app.test_client().get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_ready_means_reachable_and_migrated(sender: Sender) -> None:
    answer = sender.app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["status"], answer.json["redis"]) == (200, "ready", "not configured")


def test_an_older_schema_is_not_ready_and_a_newer_one_is(sender: Sender) -> None:
    with superuser(sender.engine) as session:
        session.execute(text("update alembic_version set version_num = '0001'"))
    answer = sender.app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["code"]) == (503, "not_migrated")
    with superuser(sender.engine) as session:
        session.execute(text("update alembic_version set version_num = 'from-the-future'"))
    assert sender.app.test_client().get("/readyz").status_code == 200


def test_an_empty_database_is_not_ready(sender: Sender) -> None:
    with superuser(sender.engine) as session:
        session.execute(text("drop table alembic_version"))
    assert sender.app.test_client().get("/readyz").json["code"] == "not_ready"


def test_without_redis_the_api_is_ready_and_says_so(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_REDIS_URL="redis://127.0.0.1:9/0") as sender:
        client = sender.app.test_client()
        assert (client.get("/readyz").status_code, client.get("/readyz").json["redis"]) == (200, "away")
        assert "redis" in client.get("/api/tds/health").json["unwell"]
        assert sender.send(wrapped()).status_code == 202


def test_with_the_database_away_the_process_lives_and_is_not_ready(engine: Engine) -> None:
    with sender_for(AWAY, engine) as sender:
        client = sender.app.test_client()
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        assert (client.get("/api/tds/health").status_code, client.get("/api/tds/health").json["status"]) == (
            503,
            "down",
        )
        assert sender.get("/api/tds/queue").json["code"] == "database_unavailable"
        assert scraped(sender)[("tds_database_up",)] == 0


def test_the_short_health_needs_no_token_and_tells_figures_only(sender: Sender) -> None:
    sender.send(wrapped())
    health = sender.app.test_client().get("/api/tds/health").json
    assert (health["status"], health["figures"]["queue_depth"]) == ("unhealthy", 1)  # nobody dispatches yet
    assert "dispatcher" in health["unwell"]
    assert "components" not in health


def make_well(sender: Sender) -> None:
    """Have everything that should run have run just now."""
    with sender.engine.begin() as connection:
        session = Session(connection)
        heartbeats.beat(session, "dispatcher")
        heartbeats.beat(session, "beat")
        job_store.seed(session, celeryconfig.TIMETABLE)
        session.flush()


def components(sender: Sender, path: str = "/api/tds/health/complete") -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in sender.get(path).json["components"]}


def test_the_whole_health_names_every_component_with_its_reason_and_its_mend(sender: Sender) -> None:
    make_well(sender)
    found = components(sender)
    assert {name for name, each in found.items() if each["state"] == "critical"} == set()
    assert found["redis"]["mend"] == "Set TDS_REDIS_URL, or run: tds up"
    assert list(found) == list(components(sender, "/api/tds/monitoring/health"))
    health = sender.get("/api/tds/health/complete").json
    assert health["score"] == 100 - 10 * sum(each["state"] == "warning" for each in found.values())
    assert sender.app.test_client().get("/api/tds/health/complete").status_code == 401
    assert {job["name"] for job in sender.get("/api/tds/monitoring/scheduler/jobs").json} == set(celeryconfig.TIMETABLE)


def test_slots_that_nobody_takes_are_critical_though_everything_seems_to_run(sender: Sender) -> None:
    make_well(sender)
    with sender.engine.begin() as connection:
        connection.execute(text("update tds_scheduled_jobs set updated_at = now() - interval '20 minutes'"))
    timetable = components(sender)["timetable"]
    assert timetable["state"] == "critical"
    assert "auto-healing for" in timetable["says"]
    assert scraped(sender)[("tds_schedule_overdue_seconds", "auto-healing")] > 300
    with sender.engine.begin() as connection:
        job_store.claim_due(Session(connection))
    assert components(sender)["timetable"]["state"] == "ok"


def test_work_that_is_due_and_that_nobody_ends_is_critical_though_everything_seems_to_run(sender: Sender) -> None:
    make_well(sender)
    sender.send(wrapped())
    with sender.engine.begin() as connection:
        connection.execute(text("update tds_sync_queue set next_attempt_at = now() - interval '2 minutes'"))
    assert components(sender)["workers"]["state"] == "critical"
    found = scraped(sender)
    assert found[("tds_component_state", "workers", "critical")] == 1
    assert found[("tds_health_score",)] <= 60


def test_memory_that_runs_out_is_reported(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    make_well(sender)
    monkeypatch.setattr(infrastructure, "used_share", lambda: 0.81)
    assert components(sender)["memory"]["state"] == "warning"
    monkeypatch.setattr(infrastructure, "used_share", lambda: 0.79)
    assert components(sender)["memory"]["state"] == "ok"


def test_metrics_count_webhooks_by_what_became_of_them(sender: Sender) -> None:
    before = scraped(sender)
    sender.send(wrapped("1"))
    sender.send(wrapped("1"))
    sender.send(b"{}")
    sender.send(wrapped("1"), secret=None)
    after = scraped(sender)

    def grown(*key: str) -> float:
        return after.get(key, 0) - before.get(key, 0)

    assert grown("tds_webhooks_total", "product", "accepted") == 1
    assert grown("tds_webhooks_total", "product", "duplicate") == 1
    assert grown("tds_webhooks_total", "product", "quarantined") == 1
    assert grown("tds_webhooks_total", "", "refused") == 1
    assert grown("tds_webhook_refusals_total", "signature_missing") == 1
    assert grown("tds_intake_burst_size_count") == 2
    assert after[("tds_queue_depth", "product", "due")] == 1
    assert after[("tds_events_without_verdict",)] == 1
    assert after[("tds_database_up",)] == 1
