"""What machines ask: alive, ready, healthy, and how much of everything."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine, text

from tests.webhook_sender import Sender, sender_for, wrapped

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
    with sender.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '0001'"))
    answer = sender.app.test_client().get("/readyz")
    assert (answer.status_code, answer.json["code"]) == (503, "not_migrated")
    with sender.engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = 'from-the-future'"))
    assert sender.app.test_client().get("/readyz").status_code == 200


def test_an_empty_database_is_not_ready(sender: Sender) -> None:
    with sender.engine.begin() as connection:
        connection.execute(text("drop table alembic_version"))
    assert sender.app.test_client().get("/readyz").json["code"] == "not_ready"


def test_without_redis_the_api_is_ready_and_says_so(database: str, engine: Engine) -> None:
    with sender_for(database, engine, TDS_REDIS_URL="redis://127.0.0.1:9/0") as sender:
        client = sender.app.test_client()
        assert (client.get("/readyz").status_code, client.get("/readyz").json["redis"]) == (200, "away")
        assert client.get("/api/tds/health").json["status"] == "degraded"
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
    assert (health["status"], health["figures"]["queue_depth"]) == ("ok", 1)


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
