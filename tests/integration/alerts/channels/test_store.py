"""Channels promise: what is wrong is refused with what to write; secrets are locked, masked, and outlive their key."""

import os
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.alerts.channels import channel_secrets, store
from tds_core.alerts.channels.address import InvalidChannelError
from tds_core.alerts.channels.sending import open_channel
from tds_core.alerts.channels.store import ChannelTerms
from tds_core.crypto import Vault
from tds_core.errors import ConfigError, NotFoundError
from tds_core.subscriptions.ssrf_guard import TargetPolicy, TargetRefusedError
from tests.support.command_line import CommandLine
from tests.support.world import World

POLICY = TargetPolicy(ports=frozenset({443, 8443}))
MAIL = "mailtos://tds%40example.com:hunterSECRET2@smtp.example.com?to=ops@example.com&from=tds@example.com"
KEY = Fernet.generate_key().decode()


@pytest.fixture
def vault() -> Vault:
    return Vault(KEY)


def made(
    session: Session, vault: Vault, name: str = "ops", address: str = MAIL, **terms: Any
) -> tuple[int, str | None]:
    return store.create(
        session,
        vault,
        POLICY,
        name=name,
        address=address,
        by="ada",
        terms=ChannelTerms(**terms),  # type: ignore[typeddict-item]
    )


def test_a_channel_is_read_without_its_secrets(session: Session, vault: Vault) -> None:
    channel_id, secret = made(
        session, vault, minimum_severity="error", quiet_hours="22:00-07:00", time_zone="Asia/Baghdad"
    )
    assert secret is None
    row = store.channel(session, "ops")
    assert row == store.channel(session, str(channel_id))
    assert (row["kind"], row["created_by"], row["is_enabled"], row["reminder_seconds"]) == (
        "email",
        "ada",
        True,
        14_400,
    )
    assert (row["minimum_severity"], row["quiet_hours"]) == ("error", "22:00-07:00")
    assert row["masked"] == ("mailtos://tds@example.com:****@smtp.example.com?from=tds@example.com&to=ops@example.com")
    page = store.channels(session)
    assert "SECRET" not in str(msgspec.to_builtins([row, page.items], enc_hook=str))
    stored = session.execute(text("select locked from tds_alert_channels")).scalar_one()
    assert b"SECRET" not in bytes(stored)


def test_a_stored_channel_opens_as_a_row_and_by_its_columns(session: Session, vault: Vault) -> None:
    made(session, vault)
    columns = session.execute(text("select * from tds_alert_channels")).mappings().one()
    by_columns, by_row = open_channel(columns, vault), store.opened_channel(session, vault, "ops")
    assert by_columns == by_row
    assert (by_row.name, by_row.address.password, by_row.address.target) == ("ops", "hunterSECRET2", "ops@example.com")
    assert "SECRET" not in repr(by_row)
    with pytest.raises(ConfigError, match="TDS_SECRET_KEY"):
        open_channel(columns, Vault(Fernet.generate_key().decode()))


def test_lists_come_in_pages(session: Session, vault: Vault) -> None:
    for number in range(5):
        made(session, vault, name=f"ops-{number}")
    first = store.channels(session, limit=3)
    second = store.channels(session, limit=3, cursor=first.next_cursor)
    assert [row["name"] for row in (*first.items, *second.items)] == [f"ops-{n}" for n in (4, 3, 2, 1, 0)]
    assert second.next_cursor is None


@pytest.mark.parametrize("name", ["", "Ops", "12", "a b", "x" * 61, "ops"])
def test_a_name_is_short_plain_and_its_own(session: Session, vault: Vault, name: str) -> None:
    made(session, vault)
    with pytest.raises(InvalidChannelError, match=r"name|already"):
        made(session, vault, name=name)


@pytest.mark.parametrize(("terms", "says"), [
    ({"minimum_severity": "info"}, "warning, error, critical"), ({"after_seconds": -1}, "a week"),
    ({"reminder_seconds": 10}, "0 for none"), ({"quiet_hours": "22-7"}, "22:00-07:00"),
    ({"quiet_hours": "25:00-07:00"}, "22:00-07:00"), ({"quiet_hours": "07:00-07:00"}, "22:00-07:00"),
    ({"time_zone": "Mars/Olympus"}, "Europe/Berlin"), ({"time_zone": "../../etc/passwd"}, "Europe/Berlin"),
])  # fmt: skip
def test_terms_that_are_not_valid_say_what_is(session: Session, vault: Vault, terms: Any, says: str) -> None:
    with pytest.raises(InvalidChannelError, match=says):
        made(session, vault, **terms)
    made(session, vault)
    with pytest.raises(InvalidChannelError, match=says):
        store.change(session, vault, POLICY, "ops", terms=terms)


@pytest.mark.parametrize("address", [
    "https://10.0.0.5/hook", "https://example.com:22/hook", "http://example.com/hook", "https://user:pass@example.com/",
    "ntfy://ntfy.example.com/topic", "ntfys://169.254.169.254/topic", "ntfys://ntfy.example.com:22/topic",
])  # fmt: skip
def test_a_server_that_may_not_be_reached_is_refused_at_once(session: Session, vault: Vault, address: str) -> None:
    with pytest.raises(TargetRefusedError):
        made(session, vault, address=address)


@pytest.mark.parametrize(("server", "says"), [
    ("smtp.example.com:9999", r"Port 9999 .*\(25, 443, 465, 587, 2525, 8443\).*TDS_OUTBOUND_PORTS"),
    ("10.0.0.5", "internal address.*TDS_OUTBOUND_ALLOW"), ("smtp.example.com:70000", "from 1 to 65535"),
])  # fmt: skip
def test_a_mail_server_that_may_not_be_reached_is_refused_when_made_and_when_changed(
    session: Session, vault: Vault, server: str, says: str
) -> None:
    address = MAIL.replace("smtp.example.com", server)
    with pytest.raises((TargetRefusedError, InvalidChannelError), match=says):
        made(session, vault, address=address)
    made(session, vault)
    with pytest.raises((TargetRefusedError, InvalidChannelError), match=says):
        store.change(session, vault, POLICY, "ops", terms={}, address=address)
    assert store.opened_channel(session, vault, "ops").secrets.address == MAIL


def test_what_the_library_would_drop_is_refused_at_once(session: Session, vault: Vault) -> None:
    with pytest.raises(InvalidChannelError, match="Write: mailtos://"):
        made(session, vault, address="mailtos://u:p@smtp.example.com?to=ops@b.c&from=tds@example.com")


def test_a_webhook_gets_a_secret_once_that_can_be_rotated(session: Session, vault: Vault) -> None:
    _, secret = made(session, vault, name="hook", address="https://example.com/alerts/tokenSECRET")
    assert secret is not None
    assert secret.startswith("whsec_")
    assert store.channel(session, "hook")["masked"] == "https://example.com/****"
    before = store.opened_channel(session, vault, "hook").secrets
    _, newer = store.rotate(session, vault, "hook", grace_seconds=60)
    after = store.opened_channel(session, vault, "hook").secrets
    now = session.execute(text("select now()")).scalar_one()
    assert after.signing_at(now) == (newer, secret)
    assert (before.key, before.address) == (after.key, after.address)
    made(session, vault)
    with pytest.raises(InvalidChannelError, match="Only webhooks"):
        store.rotate(session, vault, "ops")


def test_a_change_of_address_keeps_the_kind_and_what_incidents_are_known_by(session: Session, vault: Vault) -> None:
    made(session, vault)
    session.execute(text("update tds_alert_channels set failure_count = 3, failing_since = now(), last_error = 'down'"))
    before = store.opened_channel(session, vault, "ops").secrets
    moved = MAIL.replace("smtp.example.com", "mail.example.com")
    store.change(session, vault, POLICY, "ops", terms={"is_enabled": False, "after_seconds": 900}, address=moved)
    row = store.channel(session, "ops")
    assert (row["is_enabled"], row["after_seconds"], row["failure_count"], row["last_error"]) == (False, 900, 0, None)
    assert "mail.example.com" in row["masked"]
    after = store.opened_channel(session, vault, "ops").secrets
    assert (after.address, after.key) == (moved, before.key)
    with pytest.raises(InvalidChannelError, match="another channel"):
        store.change(session, vault, POLICY, "ops", terms={}, address="pagerduty://0123456789abcdef")


def test_a_deleted_channel_is_gone_with_its_secrets_and_its_name_is_free(session: Session, vault: Vault) -> None:
    made(session, vault)
    store.delete(session, "ops")
    for call in (store.channel, store.delete):
        with pytest.raises(NotFoundError, match="tds alerts channels list"):
            call(session, "ops")
    assert store.channels(session).items == []
    assert session.execute(text("select length(locked), is_enabled from tds_alert_channels")).one() == (0, False)
    made(session, vault)
    assert channel_secrets.reencrypt(session, vault) == 1


@pytest.mark.parametrize("wrong", ["nobody", "999", "9" * 30, "na\x00me", "näme"])
def test_what_is_not_there_says_where_to_look(session: Session, wrong: str) -> None:
    with pytest.raises(NotFoundError, match="tds alerts channels list"):
        store.channel(session, wrong)


def test_secrets_outlive_the_key_they_are_locked_with(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = Fernet.generate_key().decode()
    with Session(world.engine) as session, session.begin():
        made(session, Vault(os.environ["TDS_SECRET_KEY"]))
    monkeypatch.setenv("TDS_SECRET_KEY_PREVIOUS", os.environ["TDS_SECRET_KEY"])
    monkeypatch.setenv("TDS_SECRET_KEY", newer)
    said = CommandLine(monkeypatch, capsys)("zoho", "rotate-key")
    assert (said.exit_code, "1 channels of alerts" in said.out) == (0, True), said.errors
    with Session(world.engine) as session:
        assert store.opened_channel(session, Vault(newer), "ops").address.password == "hunterSECRET2"
