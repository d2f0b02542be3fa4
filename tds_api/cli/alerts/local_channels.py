"""The channels of the settings' database, for `tds alerts channels`; loaded only where no remote TDS is named."""

import time
from getpass import getuser
from typing import Any

from sqlalchemy import Engine

from tds_api.cli.common.database import database, transaction
from tds_api.cli.common.logged_transactions import acting, acting_on
from tds_core.alerts import channel_tests, queries
from tds_core.alerts.channel_tests import ChannelTestResult, SentBy, is_sender_running
from tds_core.alerts.channels import store
from tds_core.alerts.channels.sending import send_test
from tds_core.alerts.channels.store import ChannelRow, ChannelTerms
from tds_core.alerts.queries import DeliveryRow
from tds_core.config.settings import load_settings
from tds_core.errors import ProgramFailedError
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_core.subscriptions.subscriptions import vault_of
from tds_models.db import session_scope

#: A running TDS looks for messages every second, and gives a channel ten seconds and one.
LOOK_SECONDS, TAKEN_SECONDS, SENT_SECONDS = 0.25, 8.0, 15.0


def listed() -> list[ChannelRow]:
    """Every channel."""
    with transaction() as session:
        return store.channels(session, limit=500).items


def add(name: str, address: str, terms: dict[str, Any]) -> dict[str, Any]:
    """Make a channel. Returns it, with its secret where it is a webhook."""
    settings = load_settings()
    vault, policy = vault_of(settings), configured_policy(settings)
    with acting("alerts.channels.add", name, detail=terms) as session:
        number, secret = store.create(
            session, vault, policy, name=name, address=address, by=getuser(), terms=_typed(terms)
        )
        return {**store.channel(session, str(number)), "secret": secret}


def _typed(terms: dict[str, Any]) -> ChannelTerms:
    return ChannelTerms(**terms)


def change(name: str, address: str, terms: dict[str, Any]) -> ChannelRow:
    """Change a channel. Returns it."""
    settings = load_settings()
    vault, policy = vault_of(settings), configured_policy(settings)
    with acting("alerts.channels.change", name, detail={**terms, "has_new_address": bool(address)}) as session:
        store.change(session, vault, policy, name, terms=_typed(terms), address=address)
        return store.channel(session, name)


def remove(name: str) -> ChannelRow:
    """Delete a channel. Returns it as it was."""
    with acting("alerts.channels.remove", name) as session:
        channel = store.channel(session, name)
        store.delete(session, name)
        return channel


def test(name: str) -> ChannelTestResult:
    """Send a test message: through the running TDS, or by this command where none runs. Returns what came of it."""
    settings = load_settings()
    with database(settings) as engine:
        with acting_on(engine, "alerts.channels.test", name) as session:
            channel_id = store.channel(session, name)["id"]
            asked = channel_tests.request(session, channel_id, by=getuser()) if is_sender_running(session) else None
        if asked is not None and (result := _awaited(engine, asked)):
            return result
        vault = vault_of(settings)
        with session_scope(engine) as session:
            channel = store.opened_channel(session, vault, name)
        outcome = send_test(channel, settings=settings)
        with session_scope(engine) as session:
            return channel_tests.keep(session, channel_id, outcome, sent_by=SentBy.COMMAND, by=getuser())


def _awaited(engine: Engine, test_id: int) -> ChannelTestResult | None:
    """What came of a test that the running TDS was asked for; None if it did not take it up."""
    began, is_waiting = time.monotonic(), True
    while is_waiting:
        time.sleep(LOOK_SECONDS)
        waited = time.monotonic() - began
        with session_scope(engine) as session:
            if result := channel_tests.result(session, test_id):
                return result
            if waited > TAKEN_SECONDS and channel_tests.withdraw(session, test_id):
                return None
        is_waiting = waited < TAKEN_SECONDS + SENT_SECONDS
    raise ProgramFailedError(
        "The running TDS took the test up and has not said what came of it. See: tds alerts channels deliveries"
    )


def rotate(name: str, *, grace_seconds: float) -> dict[str, Any]:
    """Make a new secret for a webhook. Returns the channel with it."""
    vault = vault_of(load_settings())
    with acting("alerts.channels.rotate", name) as session:
        _, secret = store.rotate(session, vault, name, grace_seconds=grace_seconds)
        return {**store.channel(session, name), "secret": secret}


def deliveries(name: str, *, limit: int, state: str | None) -> list[DeliveryRow]:
    """The newest messages of a channel."""
    with transaction() as session:
        number = store.channel(session, name)["id"]
        return queries.deliveries(session, number, limit=limit, state=state).items
