"""Subscriptions and the history they are told of, as tests of change events see them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.crypto import Vault
from tds_core.subscriptions import subscriptions as subscriptions_subscriptions
from tds_core.subscriptions.fan_out import Watermark
from tds_core.subscriptions.ssrf_guard import target_policy
from tds_models.db import session_scope
from tds_tasks import context
from tds_tasks import subscriptions as core_subscriptions
from tests.support.receiver import Receiver
from tests.support.world import World

WRITE = text("""
insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, correlation_id)
select 'zoho', entity, source_id, version, operation, changes, 'webhook', 'c'
from jsonb_to_recordset(cast(:rows as jsonb)) as r(entity text, source_id text, version int, operation text,
    changes jsonb, ordinal int) order by ordinal
""")


class Telling:
    """Changes are written, subscriptions made, and what is due is sent by this process."""

    def __init__(self, world: World, receiver: Receiver) -> None:
        self.world, self.receiver = world, receiver

    def subscribe(self, name: str = "shop", **more: Any) -> str:
        """A subscription of the receiver, whose secret it then knows."""
        chosen = context.settings()
        allowed = target_policy(allowed="127.0.0.1/32", ports=str(urlsplit(self.receiver.url).port), with_http=True)
        with session_scope(self.world.engine) as session:
            vault = Vault(chosen.secret_key)
            _, secret = subscriptions_subscriptions.create(
                session, vault, allowed, **{"name": name, "url": self.receiver.url, "by": "test", **more}
            )
        self.receiver.secrets.append(secret)
        return secret

    def write(self, *changes: tuple[str, int], session: Session | None = None, **more: Any) -> None:
        """History: versions of records, in one transaction."""
        rows = [
            {"entity": "product", "source_id": record, "version": version, "ordinal": number,
             "operation": "created" if version == 1 else "updated",
             "changes": {"price": [str(version - 1), str(version)]}, **more}
            for number, (record, version) in enumerate(changes)
        ]  # fmt: skip
        params = {"rows": msgspec.json.encode(rows).decode()}
        if session is not None:
            session.execute(WRITE, params)
            return
        with session_scope(self.world.engine) as own:
            own.execute(WRITE, params)

    def deliver(self, *, at_once: bool = False) -> int:
        """Send what is due; `at_once` lets no pause stand in the way."""
        if at_once:
            self.make_due()
        return core_subscriptions.deliver_due(budget_seconds=60.0)

    def make_due(self) -> None:
        """Let every pause be over."""
        self.world.execute("update tds_outbound_lanes set next_attempt_at = now() where lease_token is null")
        self.world.execute("update tds_subscriptions set rests_until = null")

    def subscription(self, name: str = "shop") -> dict[str, Any]:
        return self.world.one("select * from tds_subscriptions where name = :name", name=name)

    def deliveries(self, columns: str = "source_id, version, state, attempts") -> list[tuple[Any, ...]]:
        rows = self.world.rows(f"select {columns} from tds_event_deliveries order by id")
        return [tuple(row.values()) for row in rows]

    def owed(self) -> int:
        return int(self.world.value("select count(*) from tds_outbound_lanes"))


@contextmanager
def telling(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telling]:
    """A world in which events may be sent to `receiver` and nowhere else."""
    port = str(urlsplit(receiver.url).port)
    told = {"TDS_OUTBOUND_ALLOW": "127.0.0.1/32", "TDS_OUTBOUND_PORTS": port, "TDS_OUTBOUND_HTTP": "yes"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    context.settings.cache_clear()
    monkeypatch.setattr(core_subscriptions, "_watermark", Watermark())
    yield Telling(world, receiver)
    context.settings.cache_clear()
