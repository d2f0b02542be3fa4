"""A lost TDS_SECRET_KEY: nothing starts with another one, nothing is written in its place, and there is a way on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tds_core.config.settings import Settings, load_settings
from tds_core.config.sources import SECRETS_FILE
from tds_core.crypto import Vault
from tds_core.errors import ConfigError
from tds_core.secret_key import LostKeyError
from tds_lab.testbed import free_port
from tds_local.stack import running_stack
from tests.support.command_line import CommandLine
from tests.support.world import World

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def start(settings: Settings) -> None:
    """Start all of TDS but its programs, and stop it."""
    with running_stack(settings, programs=lambda _: ()):
        pass


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home."""
    path = tmp_path_factory.mktemp("home")
    path.chmod(0o755)
    return path


@pytest.fixture
def locked(world: World, monkeypatch: pytest.MonkeyPatch, home: Path, redis_url: str) -> World:
    """A database with a token, a channel and a subscription that OLD locked; the settings name no key."""
    vault = Vault(OLD)
    world.execute(
        "insert into tds_source_tokens (source, refresh_token) values ('zoho', :locked)", locked=vault.lock("token")
    )
    world.execute(
        "insert into tds_alert_channels (name, kind, locked, masked, created_by)"
        " values ('mail', 'webhook', :locked, '', 'ann')", locked=vault.lock("{}"),
    )  # fmt: skip
    monkeypatch.setenv("TDS_REDIS_URL", redis_url)
    monkeypatch.setenv("TDS_HOME", str(home))
    monkeypatch.setenv("TDS_PORT", str(free_port()))
    monkeypatch.setenv("TDS_FLOWER_PORT", str(free_port()))
    monkeypatch.delenv("TDS_SECRET_KEY")
    return world


def test_without_its_secrets_a_home_with_a_database_does_not_start_and_gets_no_new_ones(
    home: Path, redis_url: str
) -> None:
    settings = load_settings({"TDS_HOME": str(home), "TDS_REDIS_URL": redis_url, "TDS_PORT": str(free_port()),
                              "TDS_FLOWER_PORT": str(free_port())})  # fmt: skip
    start(settings)
    kept = (home / SECRETS_FILE).read_text()
    (home / SECRETS_FILE).unlink()
    with pytest.raises(ConfigError, match="--without-key"):
        start(settings)
    assert not (home / SECRETS_FILE).exists()
    (home / SECRETS_FILE).write_text(kept)
    start(settings)


def test_no_key_is_made_where_values_wait_for_a_lost_one(locked: World, home: Path) -> None:
    with pytest.raises(LostKeyError, match=r"is not set.*1 tokens of Zoho, 1 addresses of alert channels"):
        start(load_settings())
    secrets = json.loads((home / SECRETS_FILE).read_text()) if (home / SECRETS_FILE).exists() else {}
    assert "TDS_SECRET_KEY" not in secrets


def test_another_key_is_refused_until_the_old_one_is_named_or_given_up(
    locked: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tds = CommandLine(monkeypatch, capsys)
    monkeypatch.setenv("TDS_SECRET_KEY", NEW)
    with pytest.raises(LostKeyError, match="from environment"):
        start(load_settings())
    refused = tds("secret-key", "check")
    assert (refused.exit_code, "tds secret-key give-up" in refused.errors) == (2, True)

    monkeypatch.setenv("TDS_SECRET_KEY_PREVIOUS", OLD)
    assert tds("secret-key", "check", "--json").json == {
        "opened": {"tokens of Zoho": 1, "addresses of alert channels": 1}
    }
    monkeypatch.delenv("TDS_SECRET_KEY_PREVIOUS")

    done = tds("secret-key", "give-up", "--reason", "lost with its server", "--yes")
    assert done.exit_code == 0, done.errors
    assert "tds zoho connect" in done.out
    assert "Channel mail is switched off" in done.out
    assert tds("secret-key", "check").exit_code == 0
    assert locked.value("select count(*) from tds_source_tokens where refresh_token is not null") == 0
    assert locked.value("select count(*) from tds_operator_actions where operation = 'cli.secret_key.give_up'") == 1
