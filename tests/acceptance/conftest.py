"""Acceptance tests start whole stacks: `make test` runs them one after the other, when the rest is done."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tds_local.embedded.guardian import Guardian
from tds_local.supervisor import Supervisor
from tests.support.world import World

# A canary every two seconds; the dispatcher looks every five.
DEAF_SECONDS = 8


@pytest.fixture
def world(engine: Engine) -> World:
    """The test's database, seen from the side of the workers."""
    return World(engine)


@pytest.fixture
def more_settings() -> dict[str, str]:
    """Settings a test adds for the programs it starts."""
    return {}


@pytest.fixture
def supervisor(database: str, redis_url: str, more_settings: dict[str, str]) -> Iterator[Supervisor]:
    """Keeps what a test starts running, with the test's own database and Redis."""
    home = Path(tempfile.mkdtemp(prefix="tds-deaf-"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TDS_", "ZOHO_"))}
    environment |= {
        "TDS_DATABASE_URL": database, "TDS_REDIS_URL": redis_url, "TDS_HOME": str(home),
        "TDS_DEAF_SECONDS": str(DEAF_SECONDS), **more_settings,
    }  # fmt: skip
    guard = Guardian()
    supervisor = Supervisor(logs=home, env=environment, guard=guard)
    yield supervisor
    supervisor.stop(grace_seconds=2)
    guard.close()
    shutil.rmtree(home)
