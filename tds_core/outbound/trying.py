"""Trying: one event that says nothing, sent at once, so that a person sees whether events arrive."""

import asyncio
import secrets
import time
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.outbound.addresses import Targets
from tds_core.outbound.events import test_body
from tds_core.outbound.lanes import Receiver, receivers
from tds_core.outbound.sending import Wire
from tds_core.outbound.sent import Answer
from tds_core.outbound.signing import signed_headers
from tds_core.outbound.subscriptions import named


def receiver_named(session: Session, name_or_id: str) -> Receiver:
    """The receiver of a subscription. Raises NotFoundError."""
    found = named(session, name_or_id)
    return receivers(session, [found.id])[found.id]


def try_out(receiver: Receiver, vault: Vault, targets: Targets, *, timeout_seconds: float) -> Answer:
    """Send a `subscription.test`; nothing is written down and it is not tried again. Raises ConfigError."""
    given = [vault.open(each) or "" for each in receiver.locked]
    name, now = f"msg_{receiver.message_key}_test_{secrets.token_hex(5)}", time.time()
    body = test_body(receiver.name, at=datetime.fromtimestamp(now, UTC))
    headers = signed_headers(given, message_id=name, at=int(now), body=body)

    async def send() -> Answer:
        async with Wire(targets, timeout_seconds=timeout_seconds) as wire:
            return await wire.send(receiver.url, headers=headers, body=body)

    return asyncio.run(send())
