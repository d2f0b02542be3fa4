"""Worlds for tests of the core: with a source that is scripted, and with a stand-in for Zoho over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests import world as worlds
from tests.standin import StandIn, serving
from tests.world import ScriptedSource, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path) -> Iterator[World]:
    """This process's tasks on this test's database."""
    with worlds.opened(monkeypatch, engine, database, str(tmp_path), {}) as world:
        yield world


@pytest.fixture
def source(world: World, monkeypatch: pytest.MonkeyPatch) -> ScriptedSource:
    """What tasks ask in place of Zoho."""
    return worlds.script(monkeypatch, ScriptedSource())


@pytest.fixture
def standin() -> Iterator[StandIn]:
    """A small organisation of this test's own."""
    with serving() as standin:
        yield standin


@pytest.fixture
def synced(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, database: str, tmp_path: Path, standin: StandIn
) -> Iterator[World]:
    """This process's tasks on this test's database, reading `standin` in pages of ten."""
    monkeypatch.setattr("tds_core.sources.zoho.client.PAGE_SIZE", 10)
    with worlds.opened(monkeypatch, engine, database, str(tmp_path), standin.settings) as world:
        yield world
