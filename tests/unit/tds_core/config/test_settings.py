"""Settings: typed, all mistakes at once, secrets never shown."""

import json
import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tds_core.config.settings import DECLARATIONS, load_settings
from tds_core.errors import ConfigError

SECRETS = {
    "TDS_DATABASE_URL": "postgresql://tds:hunter2hunter2@db/tds",
    "TDS_REDIS_URL": "redis://:hunter2hunter2@redis:6379/0",
    "TDS_SECRET_KEY": Fernet.generate_key().decode(),
    "TDS_API_TOKEN": "hunter2hunter2-token",
    "TDS_FLOWER_PASSWORD": "hunter2hunter2",
    "ZOHO_CLIENT_SECRET": "hunter2hunter2",
    "ZOHO_REFRESH_TOKEN": "1000.hunter2hunter2",
    "ZOHO_WEBHOOK_SECRET": "hunter2hunter2",
}


def test_an_empty_environment_gives_every_default() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.workers, settings.unsigned_webhooks) == ("127.0.0.1", 8800, 2, False)
    assert settings.home.is_absolute()


def test_all_mistakes_are_named_at_once_each_with_what_it_takes() -> None:
    wrong = {"TDS_PORT": "eighty", "ZOHO_WEBHOOK_SECRET": "short", "ZOHO_DATA_CENTER": "moon", "TDS_CLAIM_SIZE": "0"}
    with pytest.raises(ConfigError) as caught:
        load_settings(wrong)
    for variable in wrong:
        assert variable in str(caught.value)
    assert "12 to 50 letters and digits" in str(caught.value)
    assert "from 1 to 65535" in str(caught.value)


@pytest.mark.parametrize("secret", ["elevenchars", "has-a-dash-in-it", "x" * 51, "äöüäöüäöüäöü"])
def test_a_webhook_secret_that_zoho_would_refuse_is_refused_here(secret: str) -> None:
    with pytest.raises(ConfigError, match="ZOHO_WEBHOOK_SECRET"):
        load_settings({"ZOHO_WEBHOOK_SECRET": secret})


def test_a_mistake_in_a_secret_does_not_show_the_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"TDS_SECRET_KEY": "hunter2-not-a-key", "ZOHO_WEBHOOK_SECRET": "hunter2!"})
    assert "hunter2" not in str(caught.value)


def test_secrets_are_neither_in_repr_nor_in_what_is_shown() -> None:
    settings = load_settings(SECRETS)
    shown = repr(settings) + str(settings) + "".join(settings.shown(name) for name in DECLARATIONS)
    assert "hunter2" not in shown
    assert SECRETS["TDS_SECRET_KEY"] not in shown
    assert settings.shown("TDS_DATABASE_URL") == "postgresql+psycopg2://tds:***@db/tds"


def test_every_setting_that_holds_a_secret_is_declared_secret() -> None:
    for variable, declaration in DECLARATIONS.items():
        sounds_secret = any(word in variable for word in ("SECRET", "TOKEN", "PASSWORD", "DATABASE_URL", "REDIS_URL"))
        assert declaration.secret or not sounds_secret, variable


def test_several_previous_keys_may_be_given_while_rotating() -> None:
    keys = ",".join(Fernet.generate_key().decode() for _ in range(2))
    assert load_settings({"TDS_SECRET_KEY_PREVIOUS": keys}).secret_key_previous == keys


@pytest.mark.parametrize(
    ("center", "accounts", "api"),
    [
        ("us", "https://accounts.zoho.com", "https://www.zohoapis.com"),
        ("eu", "https://accounts.zoho.eu", "https://www.zohoapis.eu"),
        ("ca", "https://accounts.zohocloud.ca", "https://www.zohoapis.ca"),
        ("cn", "https://accounts.zoho.com.cn", "https://www.zohoapis.com.cn"),
    ],
)
def test_the_data_centre_decides_the_addresses(center: str, accounts: str, api: str) -> None:
    settings = load_settings({"ZOHO_DATA_CENTER": center})
    assert (settings.zoho_accounts_url, settings.zoho_api_url) == (accounts, api)


def test_a_given_address_wins_over_the_data_centre() -> None:
    settings = load_settings({"ZOHO_DATA_CENTER": "eu", "ZOHO_API_URL": "http://127.0.0.1:9000/"})
    assert settings.zoho_api_url == "http://127.0.0.1:9000"
    assert settings.zoho_accounts_url == "https://accounts.zoho.eu"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_a_postgresql_address_names_our_driver(scheme: str) -> None:
    assert load_settings({"TDS_DATABASE_URL": f"{scheme}://h/d"}).database_url == "postgresql+psycopg2://h/d"


def test_a_heartbeat_too_slow_for_its_lease_is_refused() -> None:
    with pytest.raises(ConfigError, match="TDS_HEARTBEAT_SECONDS"):
        load_settings({"TDS_LEASE_SECONDS": "10", "TDS_HEARTBEAT_SECONDS": "6"})


def test_time_is_compressed_with_a_stand_in_and_never_with_zoho() -> None:
    assert load_settings({"ZOHO_QUOTA_SPEED": "60", "ZOHO_API_URL": "http://127.0.0.1:8100/"}).zoho_quota_speed == 60
    with pytest.raises(ConfigError, match="ZOHO_QUOTA_SPEED"):
        load_settings({"ZOHO_QUOTA_SPEED": "60"})
    with pytest.raises(ConfigError, match="ZOHO_QUOTA_SPEED"):
        load_settings({"ZOHO_QUOTA_SPEED": "60", "ZOHO_API_URL": "https://www.zohoapis.eu/"})


def test_require_names_everything_missing_and_where_to_get_it() -> None:
    settings = load_settings({"ZOHO_CLIENT_ID": "1000.X"})
    with pytest.raises(ConfigError) as caught:
        settings.require("ZOHO_CLIENT_ID", "ZOHO_CLIENT_SECRET", "ZOHO_ORGANIZATION_ID")
    assert "ZOHO_CLIENT_ID" not in str(caught.value)
    assert "ZOHO_CLIENT_SECRET: From api-console.zoho.com" in str(caught.value)
    assert "ZOHO_ORGANIZATION_ID" in str(caught.value)


def test_a_child_with_the_exported_environment_comes_to_the_same_settings() -> None:
    settings = load_settings({**SECRETS, "TDS_UNSIGNED_WEBHOOKS": "yes", "TDS_LEASE_SECONDS": "30"})
    settings = settings.replace("command line", port=9999)
    assert load_settings(settings.as_environ()) == settings


@pytest.fixture
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without .env, and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("TDS_", "ZOHO_")):
            monkeypatch.delenv(name)
    return tmp_path


def test_the_environment_wins_over_dotenv_and_both_tell_where_from(
    empty_place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_place / ".env").write_text("TDS_PORT=1111\nTDS_WORKERS=7\n")
    monkeypatch.setenv("TDS_PORT", "2222")
    settings = load_settings()
    assert (settings.port, settings.source_of("TDS_PORT")) == (2222, "environment")
    assert (settings.workers, settings.source_of("TDS_WORKERS")) == (7, ".env")


def test_a_mounted_secret_file_is_read(empty_place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_place / "token").write_text("a-token-of-many-characters\n")
    monkeypatch.setenv("TDS_API_TOKEN_FILE", str(empty_place / "token"))
    assert load_settings().api_token == "a-token-of-many-characters"


def test_addresses_of_a_running_stack_are_found_and_those_of_a_dead_one_are_not(empty_place: Path) -> None:
    running = empty_place / ".tds" / "running.json"
    running.parent.mkdir()
    running.write_text(json.dumps({"pid": os.getpid(), "TDS_REDIS_URL": "redis://here"}))
    assert load_settings().source_of("TDS_REDIS_URL") == "running stack"
    running.write_text(json.dumps({"pid": 2**22 + 1, "TDS_REDIS_URL": "redis://here"}))
    assert load_settings().redis_url == ""
