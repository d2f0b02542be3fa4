"""Change events through real workers: from a webhook in the inbox to another program, in order, whatever dies."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from cryptography.fernet import Fernet

from tds_core.crypto import Vault
from tds_core.subscriptions import subscriptions
from tds_core.subscriptions.ssrf_guard import target_policy
from tds_local.embedded.guardian import Guardian
from tds_local.supervisor import Supervisor
from tds_models.db import session_scope
from tests.acceptance.workers import start, wait_for
from tests.support.receiver import Receiver, receiving
from tests.support.world import World, believe_started, delivery, product

pytestmark = pytest.mark.acceptance

RECORDS, VERSIONS = 12, 6
KEY = Fernet.generate_key().decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def supervisor(database: str, redis_url: str, receiver: Receiver) -> Iterator[Supervisor]:
    home = Path(tempfile.mkdtemp(prefix="tds-told-"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    environment |= {
        "TDS_DATABASE_URL": database, "TDS_REDIS_URL": redis_url, "TDS_HOME": str(home), "TDS_SECRET_KEY": KEY,
        "TDS_OUTBOUND_ALLOW": "127.0.0.1/32", "TDS_OUTBOUND_HTTP": "yes",
        "TDS_OUTBOUND_PORTS": str(urlsplit(receiver.url).port),
    }  # fmt: skip
    guard = Guardian()
    supervisor = Supervisor(logs=home, env=environment, guard=guard)
    yield supervisor
    supervisor.stop(grace_seconds=2)
    guard.close()
    shutil.rmtree(home)


def subscribe(world: World, receiver: Receiver) -> None:
    allowed = target_policy(allowed="127.0.0.1/32", ports=str(urlsplit(receiver.url).port), with_http=True)
    with session_scope(world.engine) as session:
        _, secret = subscriptions.create(session, Vault(KEY), allowed, name="shop", url=receiver.url, by="test")
    receiver.secrets.append(secret)


def is_applied(world: World, version: int) -> bool:
    count = world.value("select count(*) from erp.product where price = :version", version=version)
    return bool(count == RECORDS)


def test_a_webhook_s_change_is_reported_in_order_though_workers_and_redis_die(
    world: World, supervisor: Supervisor, redis_url: str, receiver: Receiver
) -> None:
    believe_started(world, "1 day")  # or the deaths of workers would prove nothing against what they held
    subscribe(world, receiver)
    workers = start(supervisor, world, "one", "other")
    records = [f"p{number}" for number in range(RECORDS)]
    for version in range(1, VERSIONS + 1):
        world.deliver(*(delivery("product", product(each, second=version, rate=version)) for each in records))
        assert wait_for(partial(is_applied, world, version), 60)
        if version == 2:
            workers["one"].kill()
        if version == 4:
            with redis.Redis.from_url(redis_url) as client:
                client.flushall()
    told = {record: list(range(1, VERSIONS + 1)) for record in records}
    assert wait_for(lambda: receiver.versions() == told, 60), receiver.versions()
    assert all(each.verified for each in receiver.got), "signed, and verified by another library"
    assert {each.body["type"] for each in receiver.got} == {"product.created", "product.updated"}
    assert wait_for(lambda: world.value("select count(*) from tds_outbound_lanes") == 0, 20)
