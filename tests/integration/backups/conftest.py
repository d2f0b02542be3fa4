"""A server of the test's own with a directory for its backups."""

from collections.abc import Iterator

import pytest

from tests.support.backed_up_server import BackedUpServer, backed_up_server
from tests.support.command_line import CommandLine


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[BackedUpServer]:
    """A running server whose backups go somewhere."""
    with backed_up_server(monkeypatch) as server:
        yield server


@pytest.fixture
def tds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command, with this test's environment."""
    return CommandLine(monkeypatch, capsys)
