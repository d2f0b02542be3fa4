"""The channels of the settings' database, for `tds alerts channels`; loaded only where no remote TDS is named."""

from getpass import getuser
from typing import Any

import msgspec

from tds_api.cli.common.database import transaction
from tds_api.cli.common.logged_transactions import acting
from tds_core.alerts import queries
from tds_core.alerts.channels import store
from tds_core.alerts.channels.sending import send_test
from tds_core.alerts.channels.store import ChannelRow, ChannelTerms
from tds_core.alerts.queries import DeliveryRow
from tds_core.config.settings import load_settings
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_core.subscriptions.subscriptions import vault_of


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


def test(name: str) -> dict[str, Any]:
    """Send a test message. Returns what came of it."""
    settings = load_settings()
    vault = vault_of(settings)
    with acting("alerts.channels.test", name) as session:
        channel = store.opened_channel(session, vault, name)
    outcome: dict[str, Any] = msgspec.to_builtins(send_test(channel, settings=settings))
    return outcome


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
