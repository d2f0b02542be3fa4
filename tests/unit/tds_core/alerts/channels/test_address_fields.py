"""Fields of each kind make an address that its kind reads, whatever stands in a password; what is missing is named."""

import pytest

from tds_core.alerts.channels.address import ChannelKind, InvalidChannelError
from tds_core.alerts.channels.address_fields import FIELDS, address_of
from tds_core.alerts.channels.address_parsers import read_address

MAIL = {"server": "smtp.example.com:465", "sender": "tds@example.com", "recipient": "ops+night@example.com"}
TEAMS = "https://x.logic.azure.com/workflows/abcdefgh/triggers/manual/paths/invoke?api-version=1&sig=abcdefgh1234"


@pytest.mark.parametrize(("kind", "fields", "target"), [
    (ChannelKind.EMAIL, {**MAIL, "user": "tds@example.com", "password": "p:a/s?s#w@rd%&"}, "ops+night@example.com"),
    (ChannelKind.EMAIL, MAIL, "ops+night@example.com"),
    (ChannelKind.SLACK, {"secret_token": "xoxb-1234567890-abc", "channel": "#ops"}, "#ops"),
    (ChannelKind.SLACK, {"hook_address": "https://hooks.slack.com/services/T0AAAAAAA/B0AAAAAAA/abcdefghijkl"}, ""),
    (ChannelKind.TELEGRAM, {"secret_token": "123456789:AAabcdefghijk-_lmn", "chat": "-100200"}, "-100200"),
    (ChannelKind.PAGERDUTY, {"secret_key": "a" * 32, "region": "eu"}, ""),
    (ChannelKind.TEAMS, {"hook_address": TEAMS}, ""),
    (ChannelKind.NTFY, {"topic": "ops_k3"}, "ops_k3"),
    (ChannelKind.NTFY, {"server": "ntfy.example.com", "topic": "ops", "user": "u", "password": "p@:/"}, "ops"),
    (ChannelKind.WEBHOOK, {"hook_address": "https://example.com/a"}, "https://example.com/a"),
])  # fmt: skip
def test_fields_make_an_address_of_their_kind(kind: ChannelKind, fields: dict[str, str], target: str) -> None:
    read = read_address(address_of(kind, fields))
    assert (read.kind, read.target) == (kind, target)
    assert read.password == fields.get("password", "")


@pytest.mark.parametrize("kind", list(FIELDS))
def test_what_is_missing_or_unknown_is_named(kind: ChannelKind) -> None:
    with pytest.raises(InvalidChannelError, match="needs"):
        address_of(kind, {})
    with pytest.raises(InvalidChannelError, match="has no 'colour'"):
        address_of(kind, {"colour": "red"})


def test_a_field_smuggles_no_other_part_into_the_address() -> None:
    address = address_of(ChannelKind.EMAIL, {**MAIL, "recipient": "a@b.example&from=evil@b.example"})
    with pytest.raises(InvalidChannelError):
        read_address(address)
