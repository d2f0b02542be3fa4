"""Outages of the database: each channel hears of one once, whichever processes miss it, and of its end like of any."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy.orm import Session

from tds_core.alerts import database_outage, deliveries
from tds_core.alerts.channels import store
from tds_core.alerts.database_outage import DatabaseOutage
from tds_core.alerts.rules import rule_of
from tds_core.config.settings import Settings, load_settings
from tds_core.crypto import Vault
from tds_core.queue.items import database_clock
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_models.db import session_scope
from tests.support.alert_arrivals import MAIL, WEBHOOK, Arrivals, arriving
from tests.support.world import World


@pytest.fixture
def arrivals() -> Iterator[Arrivals]:
    with arriving() as arrivals:
        yield arrivals


@pytest.fixture
def settings(world: World, arrivals: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of an installation with both channels, which tells of an outage at once."""
    monkeypatch.setattr(database_outage, "LOST_SECONDS", 0.0)
    params = {
        "TDS_HOME": str(tmp_path / "home"), "TDS_SECRET_KEY": Fernet.generate_key().decode(),
        "TDS_OUTBOUND_ALLOW": "127.0.0.0/8", "TDS_OUTBOUND_HTTP": "yes",
        "TDS_OUTBOUND_PORTS": f"443,{arrivals.http.port},{arrivals.mail_port}",
    }  # fmt: skip
    settings = load_settings(params)
    vault, policy = Vault(settings.secret_key), configured_policy(settings)
    with session_scope(world.engine) as session:
        _, secret = store.create(session, vault, policy, name="desk", address=arrivals.url, by="test", terms={})
        store.create(session, vault, policy, name="mail", address=arrivals.mail_address, by="test", terms={})
    arrivals.secret = secret or ""
    return settings


class Process:
    """What one process does about outages."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self.outage = DatabaseOutage(settings, rule_of("database_lost"))

    def scope(self) -> AbstractContextManager[Session]:
        return session_scope(self._world.engine)

    def sees_it_answer(self) -> None:
        self.outage.answered(self.scope)

    def misses_it(self) -> None:
        self.outage.failed()


def told(arrivals: Arrivals) -> list[tuple[str, str, str]]:
    return [(each.receiver, each.rule, each.kind) for each in (*arrivals.posted(), *arrivals.mailed())]


ONCE = [(WEBHOOK, "database_lost", "firing"), (MAIL, "database_lost", "firing")]


def queued(world: World) -> list[tuple[str, str, str]]:
    rows = world.rows(
        "select c.name, d.kind, d.state from tds_alert_deliveries d join tds_alert_channels c on c.id = d.channel_id"
        " order by d.kind, c.name"
    )
    return [(row["name"], row["kind"], row["state"]) for row in rows]


def test_each_channel_hears_of_it_once_whichever_processes_miss_it(
    world: World, settings: Settings, arrivals: Arrivals
) -> None:
    dispatcher, api = Process(world, settings), Process(world, settings)
    for process in (dispatcher, api):
        process.sees_it_answer()
    for process in (dispatcher, api, dispatcher, api):
        process.misses_it()
    assert told(arrivals) == ONCE
    late = Process(world, settings)
    late.outage.adopt()
    late.misses_it()
    assert told(arrivals) == ONCE


def test_its_end_is_a_delivery_to_those_who_know(world: World, settings: Settings, arrivals: Arrivals) -> None:
    dispatcher, api = Process(world, settings), Process(world, settings)
    for process in (dispatcher, api):
        process.sees_it_answer()
    for process in (dispatcher, api):
        process.misses_it()
    for process in (api, dispatcher, api):
        process.sees_it_answer()
    assert not dispatcher.outage.is_on
    assert queued(world) == [
        ("desk", "firing", "sent"), ("mail", "firing", "sent"), ("desk", "resolved", "queued"),
        ("mail", "resolved", "queued"),
    ]  # fmt: skip
    [alert] = world.rows("select state, episode, summary from tds_alerts")
    assert alert == {"state": "resolved", "episode": 1, "summary": "PostgreSQL answers again."}
    with session_scope(world.engine) as session:
        messages = deliveries.claim(session, database_clock(session), limit=5)
    assert [(message.kind, len(message.deliveries)) for message in messages] == [("resolved", 1)] * 2
    [first] = {each.message_id for each in arrivals.posted()}
    assert world.value("select count(*) from tds_alert_deliveries where message_id::text = :id", id=first) == 2


def test_a_short_outage_is_told_to_nobody(
    world: World, settings: Settings, arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_outage, "LOST_SECONDS", 60.0)
    dispatcher = Process(world, settings)
    dispatcher.sees_it_answer()
    dispatcher.misses_it()
    assert dispatcher.outage.is_on
    dispatcher.sees_it_answer()
    assert (told(arrivals), queued(world), world.rows("select * from tds_alerts")) == ([], [], [])
