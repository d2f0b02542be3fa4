"""Addresses promise: only the kinds there are, one destination each, nothing secret in what is shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tds_core.alerts.channels.address import EXAMPLES, ChannelKind, HostPort, InvalidChannelError, scrubbed
from tds_core.alerts.channels.address_parsers import check_target, policy_for, read_address
from tds_core.alerts.channels.library import check_address
from tds_core.subscriptions.ssrf_guard import TargetPolicy, TargetRefusedError

TEAMS = (
    "https://prod-161.westeurope.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64/triggers/manual/paths/"
    "invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=SECRETebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJ"
)
POWER = TEAMS.replace("/workflows", "/powerautomate/automations/direct/cu/17/workflows").replace(
    "westeurope.logic.azure.com", "environment.api.powerplatform.com"
)


@pytest.mark.parametrize(("address", "kind", "masked"), [
    ("mailtos://me@example.com:SECRET%2F1@smtp.example.com?to=ops+a@example.com", "email",
     "mailtos://me@example.com:****@smtp.example.com?from=me@example.com&to=ops+a@example.com"),
    ("mailtos://u:SECRETx@mail_relay:465?to=o@example.com&from=t@example.com&mode=ssl", "email",
     "mailtos://u:****@mail_relay:465?from=t@example.com&to=o@example.com"),
    ("mailto://[::1]:2525?to=o@example.com&from=t@example.com", "email",
     "mailto://[::1]:2525?from=t@example.com&to=o@example.com"),
    ("slack://T0001/B0002/SECRETxyz", "slack", "slack://****"),
    ("slack://T0001/B0002/SECRETxyz/#ops", "slack", "slack://****/#ops"),
    ("slack://xoxb-1234567890-SECRET/#ops", "slack", "slack://****/#ops"),
    ("https://hooks.slack.com/services/T0001/B0002/SECRETxyz", "slack", "slack://****"),
    ("tgram://123456789:SECRET_ghi-jkl/-100123", "telegram", "tgram://****/-100123"),
    ("tgram://bot123456789:SECRET_ghi-jkl/@ops_channel", "telegram", "tgram://****/@ops_channel"),
    ("tgram://123456789:SECRET_ghi-jkl/-100123?topic=4", "telegram", "tgram://****/-100123:4"),
    ("pagerduty://SECRET0123456789", "pagerduty", "pagerduty://****?region=us"),
    ("pagerduty://SECRET0123456789@SECRETkey0?region=EU", "pagerduty", "pagerduty://****?region=eu"),
    (TEAMS, "teams", "https://prod-161.westeurope.logic.azure.com:443/workflows/****"),
    (POWER, "teams", "https://prod-161.environment.api.powerplatform.com:443/workflows/****"),
    ("ntfy://alSECRETtopic", "ntfy", "ntfys://ntfy.sh/alS****"),
    ("https://ntfy.sh/alSECRETtopic", "ntfy", "ntfys://ntfy.sh/alS****"),
    ("ntfys://u:SECRETx@ntfy.example.com:8443/topic", "ntfy", "ntfys://u:****@ntfy.example.com:8443/top****"),
    ("ntfys://tk_SECRETx@ntfy.example.com/topic", "ntfy", "ntfys://****@ntfy.example.com/top****"),
    ("https://example.com/hooks/SECRET?token=SECRET", "webhook", "https://example.com/****"),
    ("  https://example.com  ", "webhook", "https://example.com/"),
])  # fmt: skip
def test_an_address_is_read_and_shown_without_its_secrets(address: str, kind: str, masked: str) -> None:
    read = read_address(address)
    assert (read.kind, read.masked) == (kind, masked)
    assert "SECRET" not in repr(read)
    assert scrubbed(f"x {address.strip()} y", read.secrets).count("SECRET") == 0
    if kind != "webhook":
        check_address(read)


def test_what_an_address_is_made_of() -> None:
    mail = read_address("mailtos://u%40x:p%3A%2Fss@smtp.example.com:465?to=o@example.com&from=t@example.com")
    assert (mail.user, mail.password, mail.target) == ("u@x", "p:/ss", "o@example.com")
    assert (mail.server, mail.options) == (
        HostPort(host="smtp.example.com", port=465),
        {"from": "t@example.com", "mode": "ssl"},
    )
    plain = read_address("mailtos://u:p@smtp.example.com?to=o@example.com&from=t@example.com")
    assert plain.options["mode"] == "starttls"
    power = read_address(POWER).options
    assert (bool(power["automate"]), power["route"], power["version"]) == (True, "17", "2016-06-01")
    assert read_address("ntfy://tk_abc@ntfy.example.com/topic").options["token"] == "tk_abc"


@pytest.mark.parametrize("address", [
    "json://example.com", "jsons://example.com", "xml://example.com", "file:///etc/passwd", "exec://x", "syslog://",
    "apprise://example.com/token", "mailgun://a@b/c", "ftp://example.com", "gopher://x", "dbus://", "windows://", "",
    "example.com", "//example.com", "JSON://example.com", "slack", "mailtos:/x", "http:example.com", "\\\\host\\share",
])  # fmt: skip
def test_other_schemes_are_refused_with_what_there_is(address: str) -> None:
    with pytest.raises(InvalidChannelError, match=r"mailtos://"):
        read_address(address)


@pytest.mark.parametrize(("address", "says"), [
    ("mailtos://u:p@smtp.example.com?from=t@example.com", "to= is one e-mail address"),
    ("mailtos://u:p@smtp.example.com?from=t@example.com&to=a@example.com,b@example.com", "to= is one e-mail address"),
    ("mailtos://u:p@smtp.example.com?to=a@example.com", "from= is the e-mail address"),
    ("mailtos://u:p@smtp.example.com?to=a@example.com&from=t@example.com&mode=insecure", "mode= is starttls or ssl"),
    ("mailto://u:p@smtp.example.com?to=a@example.com&from=t@example.com", "use mailtos://"),
    ("mailtos://u:p/x@smtp.example.com?to=a@example.com&from=t@example.com", "percent-encoded"),
    ("mailtos://u:p@smtp.example.com:99999?to=a@example.com&from=t@example.com", "1 to 65535"),
    ("mailtos://u:p@smtp.example.com?to=a@example.com&to=b@example.com&from=t@example.com", "once"),
    ("slack://T0001/B0002", "three parts"), ("slack://xoxb-1234567890-abc", "one #channel"),
    ("slack://xoxb-1234567890-abc/#a/#b", "one #channel"), ("slack://T1/B2/C3/a@example.com", "one #channel"),
    ("tgram://123456789:ABCdefghi_jkl", "one chat"), ("tgram://123456789:ABCdefghi_jkl/1/2", "one chat"),
    ("tgram://token/1", "bot's token"), ("tgram://123456789:ABCdefghi_jkl/1?topic=x", "topic= is a number"),
    ("pagerduty://short", "integration key"), ("pagerduty://0123456789abcdef?region=mars", "us or eu"),
    (TEAMS.partition("&sig")[0], "up to the end of sig="), ("ntfys://ntfy.example.com/a/b", "one topic"),
    ("ntfy://u:p@topic", "ntfy.sh"), ("ntfy://a b", "no space"), ("ntfy://tôpic", "ASCII"),
    ("https://" + "x" * 3000, "2000"), ("https://ex ample.com", "no space"), ("https://exa\x1bmple.com", "printable"),
])  # fmt: skip
def test_what_is_wrong_says_what_to_write(address: str, says: str) -> None:
    with pytest.raises(InvalidChannelError) as caught:
        read_address(address)
    assert says in str(caught.value)


@pytest.mark.parametrize("option", [
    "pgppub=/etc/passwd", "pgp=sign", "cc=x@example.com", "bcc=x@example.com", "smtp=10.0.0.1", "verify=no", "rto=900",
    "redirect=yes", "+X-Header=1", "retry=5", "format=html", "overflow=split", "store=yes", "reply=x@example.com",
    "template=/etc/passwd", "attach=http://10.0.0.1/", "avatar_url=http://10.0.0.1/", ":token=x", "-x=1", "image=yes",
    "actions=x", "email=x@example.com", "delay=1h", "tz=UTC", "optional=yes",
])  # fmt: skip
@pytest.mark.parametrize("address", [
    "mailtos://u:p@smtp.example.com?to=a@example.com&from=t@example.com&", "slack://T0001/B0002/C0003?",
    "tgram://123456789:ABCdefghi_jkl/1?", "pagerduty://0123456789abcdef?", "ntfys://ntfy.example.com/topic?",
])  # fmt: skip
def test_options_of_the_library_are_refused(address: str, option: str) -> None:
    with pytest.raises(InvalidChannelError, match="is not supported"):
        read_address(address + option)


def test_a_refusal_repeats_no_part_of_a_password() -> None:
    for address in (
        "mailtos://u:hunter?SECRET@host?to=a@example.com",
        "mailtos://u:hunter/SECRET@host",
        "x y://SECRET",
    ):
        with pytest.raises(InvalidChannelError) as caught:
            read_address(address)
        assert "SECRET" not in str(caught.value)


@given(st.text(max_size=200), st.sampled_from(["mailtos", "slack", "tgram", "pagerduty", "ntfys", "https", "json", ""]))
def test_any_text_is_an_address_or_refused(text: str, scheme: str) -> None:
    try:
        read = read_address(f"{scheme}://{text}")
    except InvalidChannelError:
        return
    assert read.kind in set(ChannelKind)
    assert read.masked.isprintable()


def test_every_kind_has_an_example_that_says_how_to_write_it() -> None:
    assert set(EXAMPLES) == set(ChannelKind)


POLICY = TargetPolicy(ports=frozenset({8443}))


@pytest.mark.parametrize(("address", "ports"), [
    ("mailto://relay?to=a@example.com&from=t@example.com", {25, 465, 587, 2525, 8443}),
    ("slack://T0001/B0002/C0003", {443, 8443}), ("ntfy://topic", {443, 8443}),
    ("ntfys://ntfy.example.com/topic", {8443}), ("https://example.com/", {8443}), (TEAMS, {8443}),
])  # fmt: skip
def test_a_channel_reaches_the_ports_of_its_kind(address: str, ports: set[int]) -> None:
    assert policy_for(read_address(address), POLICY).ports == ports


@pytest.mark.parametrize("address", [
    "https://example.com/", "https://10.1.2.3:8443/", "http://example.com:8443/", "ntfys://ntfy.example.com/topic",
    "ntfy://ntfy.example.com:8443/topic", "ntfys://[::1]:8443/topic", TEAMS, "https://u:p@example.com:8443/",
    *(f"mailto://{server}?to=a@example.com&from=t@example.com" for server in (
        "mail.example.com:26", "10.1.2.3", "127.0.0.1:8443", "[::1]:25")),
])  # fmt: skip
def test_a_server_is_checked_before_it_is_resolved(address: str) -> None:
    with pytest.raises(TargetRefusedError):
        check_target(read_address(address), POLICY)
    check_target(read_address("https://example.com:8443/"), POLICY)
    check_target(read_address("slack://T0001/B0002/C0003"), POLICY)


@pytest.mark.parametrize("server", ["mail.example.com", "mail.example.com:25", "mail.example.com:2525", "8.8.8.8:8443"])
def test_mail_servers_are_reached_by_their_own_ports_and_those_of_the_settings(server: str) -> None:
    for scheme in ("mailto", "mailtos"):
        address = read_address(f"{scheme}://{server}?to=a@example.com&from=t@example.com")
        check_target(address, policy_for(address, POLICY))


@pytest.mark.parametrize("port", ["0", "65536", "99999999999999999999"])
def test_a_port_that_cannot_be_is_refused_with_what_can(port: str) -> None:
    with pytest.raises(InvalidChannelError, match="A port is a number from 1 to 65535"):
        read_address(f"mailtos://mail.example.com:{port}?to=a@example.com&from=t@example.com")


@pytest.mark.parametrize(("text", "shown"), [
    ("token SECRETpart1 was refused", "token [redacted] was refused"),
    ("url /x%2FSECRET%20y", "url /[redacted]"),
    ("Basic U0VDUkVUcGFydDE=", "Basic [redacted]"),
    ("cut off in SECRETpa", "cut off in "),
    ("nothing of it", "nothing of it"),
])  # fmt: skip
def test_secrets_are_scrubbed_in_every_spelling(text: str, shown: str) -> None:
    assert scrubbed(text, ("SECRETpart1", "x/SECRET y")) == shown


def test_a_long_answer_is_scrubbed_fast() -> None:
    secrets: Any = ("SECRETpart1" * 20, "other")
    assert "SECRET" not in scrubbed("SECRETpart1" * 100_000, secrets)
