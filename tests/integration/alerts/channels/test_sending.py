"""Sending promises: every kind arrives at a real receiver as its service wants it, in time, and says why it did not."""

import inspect
import json
import logging
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from apprise.plugins import ntfy, pagerduty, slack, telegram, workflows
from apprise.plugins.email import smtp
from standardwebhooks import Webhook

from tds_core.alerts.channels import transport
from tds_core.alerts.channels.channel_secrets import new_secrets
from tds_core.alerts.channels.sending import SendOutcome, send, send_test
from tds_core.config.settings import Settings, load_settings
from tests.support.alert_messages import channel, item, message, resolved
from tests.support.alert_receivers import (
    Answer,
    Authority,
    HttpReceiver,
    Mailbox,
    Request,
    authority,
    http_receiving,
    mail_receiving,
)

SLACK = "https://hooks.slack.com/services/T0001/B0002/abcdefSECRETxyz"
BOT = "slack://xoxb-1234567890-abcdefSECRET/#ops"
TELEGRAM = "tgram://123456789:ABCdefSECRETghi_jkl/-100123"
PAGERDUTY = "pagerduty://0123456789SECRETabcdef"
TEAMS = (
    "https://prod-1.westeurope.logic.azure.com/workflows/643e69f83c8944438d68119179a10a64/triggers/manual/paths/invoke"
    "?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=KODuebWbDGYFrSECRETz7108W3wrNJZxFE5A"
)
NTFY = "ntfy://tdsSECRETtopic"
ADDRESSES = {
    "slack": SLACK, "bot": BOT, "telegram": TELEGRAM, "pagerduty": PAGERDUTY, "teams": TEAMS, "ntfy": NTFY,
}  # fmt: skip


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def services(trusted: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    """All services at once, by their own names and over TLS, on one port of loopback."""
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.path))
    with http_receiving(trusted.server) as receiver:
        resolve = transport.resolved

        def local(host: str, port: int) -> list[Any]:
            return resolve("127.0.0.1", receiver.port if port == 443 else port)

        monkeypatch.setattr(transport, "resolved", local)
        receiver.answer = lambda request: Answer(body=b'{"ok": true}' if "api" in request.path else b"ok")
        yield receiver


def settings(*ports: int, allow: str = "127.0.0.0/8", **given: str) -> Settings:
    outbound = {"ALLOW": allow, "PORTS": ",".join(map(str, (443, *ports))), "HTTP": "yes"}
    return load_settings({**{f"TDS_OUTBOUND_{name}": value for name, value in outbound.items()}, **given})


def sent(receiver: HttpReceiver, address: str, *items: Any, timeout: float = 5.0) -> SendOutcome:
    return send(channel(address), message(*items), settings=settings(receiver.port), timeout=timeout)


def test_slack_gets_blocks_in_the_colour_of_the_alert(services: HttpReceiver) -> None:
    outcome = sent(services, SLACK)
    assert (outcome.is_sent, outcome.error) == (True, None)
    [got] = services.got
    assert (got.path, got.headers["host"]) == ("/services/T0001/B0002/abcdefSECRETxyz", "hooks.slack.com")
    [attachment] = got.json["attachments"]
    header, body = attachment["blocks"]
    assert header["text"] == {"type": "plain_text", "text": "CRITICAL: Work waits: product", "emoji": True}
    assert body["text"]["type"] == "mrkdwn"
    assert "<https://tds.example.com/dashboard/alerts/12|alert 12>" in body["text"]["text"]
    assert "`tds alerts ack 12`" in body["text"]["text"]
    over = sent(services, SLACK, resolved())
    assert over.is_sent
    assert services.got[1].json["attachments"][0]["color"] != attachment["color"]


def test_a_bot_of_slack_writes_to_its_channel(services: HttpReceiver) -> None:
    assert sent(services, BOT).is_sent
    [got] = services.got
    assert (got.path, got.json["channel"]) == ("/api/chat.postMessage", "#ops")
    assert got.headers["authorization"] == "Bearer xoxb-1234567890-abcdefSECRET"


def test_telegram_gets_html_without_previews(services: HttpReceiver) -> None:
    assert sent(services, TELEGRAM).is_sent
    [got] = services.got
    assert got.path == "/bot123456789:ABCdefSECRETghi_jkl/sendMessage"
    told = got.json
    assert (told["chat_id"], told["parse_mode"], told["disable_web_page_preview"]) == (-100123, "HTML", True)
    assert told["text"].startswith("<b>CRITICAL: Work waits: product</b>")
    assert '<a href="https://tds.example.com/dashboard/alerts/12">alert 12</a>' in told["text"]


def test_each_alert_is_an_incident_of_pagerduty_that_its_end_resolves(services: HttpReceiver) -> None:
    opened = channel(PAGERDUTY)
    for items in ([item(12), item(13, severity="warning", subject="order")], [resolved(), item(13, kind="reminder")]):
        assert send(opened, message(*items), settings=settings(services.port)).is_sent
    events = [request.json for request in services.got]
    keys = [f"{opened.secrets.key}-12", f"{opened.secrets.key}-13"]
    assert [(each["event_action"], each["dedup_key"]) for each in events] == [
        ("trigger", keys[0]), ("trigger", keys[1]), ("trigger", keys[1]), ("resolve", keys[0]),
    ]  # fmt: skip
    first = events[0]
    assert (first["routing_key"], first["payload"]["severity"]) == ("0123456789SECRETabcdef", "critical")
    assert first["payload"]["summary"] == "Work waits: product: 5,201 work items wait."
    assert first["payload"]["source"] == "acme"
    assert first["payload"]["custom_details"]["to do"] == "tds queue stats"


def test_teams_gets_a_card(services: HttpReceiver) -> None:
    assert sent(services, TEAMS).is_sent
    [got] = services.got
    assert got.path.startswith("/workflows/643e69f83c8944438d68119179a10a64/triggers/manual/paths/invoke?")
    assert "sig=KODuebWbDGYFrSECRETz7108W3wrNJZxFE5A" in got.path
    card = got.json["attachments"][0]["content"]
    assert card["type"] == "AdaptiveCard"
    assert "**CRITICAL: Work waits: product**" in card["body"][0]["text"]


def test_ntfy_gets_priority_and_tags_and_a_click(services: HttpReceiver) -> None:
    assert sent(services, NTFY).is_sent
    assert sent(services, NTFY, resolved()).is_sent
    first, over = services.got
    assert (first.json["topic"], first.json["title"]) == ("tdsSECRETtopic", "CRITICAL: Work waits: product")
    assert (first.headers["x-priority"], first.headers["x-tags"]) == ("max", "rotating_light")
    assert first.headers["x-click"] == "https://tds.example.com/dashboard/alerts/12"
    assert (over.headers["x-priority"], over.headers["x-tags"]) == ("low", "white_check_mark")


@pytest.mark.parametrize("login", ["user:pa%2Fss", "tk_abcdefgh"])
def test_an_ntfy_server_of_ones_own_is_logged_in_at(login: str) -> None:
    with http_receiving() as receiver:
        assert sent(receiver, f"ntfy://{login}@127.0.0.1:{receiver.port}/alerts").is_sent
        [got] = receiver.got
        assert got.headers["authorization"] == ("Bearer tk_abcdefgh" if "tk_" in login else "Basic dXNlcjpwYS9zcw==")


def test_a_webhook_is_signed_as_standard_webhooks_says() -> None:
    with http_receiving() as receiver:
        address = f"http://127.0.0.1:{receiver.port}/alerts"
        secrets = new_secrets(address, is_signed=True)
        rotated = secrets.rotated(datetime.now(UTC) + timedelta(hours=1))
        outcome = send(channel(address, secrets=rotated), message(item(), resolved(alert_id=9)),
                       settings=settings(receiver.port))  # fmt: skip
        assert outcome.is_sent
        [got] = receiver.got
        for secret in (secrets.signing, rotated.signing):
            Webhook(secret).verify(got.raw, got.headers)
        assert got.headers["webhook-id"] == message().id
        body = got.json
        assert (body["type"], body["data"]["severity"], body["data"]["alert_count"]) == ("alert.firing", "critical", 2)
        assert [(each["id"], each["kind"]) for each in body["data"]["alerts"]] == [("12", "firing"), ("9", "resolved")]
        late = secrets.rotated(datetime.now(UTC) - timedelta(seconds=1))
        assert send(channel(address, secrets=late), message(), settings=settings(receiver.port)).is_sent
        with pytest.raises(Exception, match="signature"):
            Webhook(secrets.signing).verify(receiver.got[1].raw, receiver.got[1].headers)


def mail_address(mailbox: Mailbox, scheme: str = "mailto", login: str = "", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{login}{host}:{mailbox.port}?from=tds@example.com&to=ops@example.com"


def test_a_mail_has_text_and_html_and_the_same_id_at_every_attempt() -> None:
    with mail_receiving(Mailbox()) as mailbox:
        opened = channel(mail_address(mailbox))
        for _ in range(2):
            outcome = send(opened, message(item(subject="prodüct")), settings=settings(mailbox.port))
            assert (outcome.is_sent, outcome.error) == (True, None)
        first, second = mailbox.mails
        assert mailbox.envelopes[0] == ("tds@example.com", ["ops@example.com"])
        assert first["subject"] == "CRITICAL: Work waits: prodüct"
        assert first["message-id"] == second["message-id"] == f"<{message().id}@example.com>"
        assert first["references"] == second["references"] == f"<{opened.secrets.key}-12@example.com>"
        assert first["auto-submitted"] == "auto-generated"
        plain, html = first.get_body(("plain",)), first.get_body(("html",))
        assert plain is not None
        assert html is not None
        assert plain.get_content().splitlines() == message(item(subject="prodüct")).text.splitlines()
        assert "<code>tds alerts ack 12</code>" in html.get_content()


@pytest.mark.parametrize("implicit", [False, True])
def test_a_mail_server_is_logged_in_at_over_tls(
    trusted: Authority, monkeypatch: pytest.MonkeyPatch, implicit: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted.path))
    resolve = transport.resolved
    monkeypatch.setattr(transport, "resolved", lambda _, port: resolve("127.0.0.1", port))
    mailbox = Mailbox(login=("me@example.com", "p:a/ss"))
    with mail_receiving(mailbox, tls=trusted.server, implicit=implicit):
        address = mail_address(mailbox, "mailtos", "me@example.com:p%3Aa%2Fss@", "mail.test")
        address += "&mode=ssl" if implicit else ""
        outcome = send(channel(address), message(), settings=settings(mailbox.port))
        assert (outcome.is_sent, outcome.error) == (True, None)
        assert (mailbox.logins, len(mailbox.mails)) == ([("me@example.com", "p:a/ss")], 1)
        wrong = address.replace("p%3Aa%2Fss", "wrongSECRET")
        outcome = send(channel(wrong), message(), settings=settings(mailbox.port))
        assert (outcome.is_sent, outcome.is_permanent) == (False, True)
        assert outcome.error is not None
        assert "535" in outcome.error
        assert "SECRET" not in outcome.error


def test_a_certificate_of_an_unknown_authority_is_refused(trusted: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_receiving(trusted.server) as receiver:
        resolve = transport.resolved
        monkeypatch.setattr(transport, "resolved", lambda *_: resolve("127.0.0.1", receiver.port))
        outcome = sent(receiver, SLACK)
        assert (outcome.is_sent, receiver.got) == (False, [])
        assert outcome.error is not None
        assert "certificate" in outcome.error.lower()


@pytest.mark.parametrize(("refusal", "is_permanent"), [("550 no such mailbox", True), ("451 try later", False)])
def test_a_mail_server_says_whether_to_try_again(refusal: str, is_permanent: bool) -> None:
    for mailbox in (Mailbox(refuses=refusal), Mailbox(rejects=refusal)):
        with mail_receiving(mailbox):
            outcome = send(channel(mail_address(mailbox)), message(), settings=settings(mailbox.port))
            assert (outcome.is_sent, outcome.is_permanent) == (False, is_permanent)
            assert outcome.error is not None
            assert not outcome.may_have_arrived
            assert refusal[4:] in outcome.error


def test_a_mail_that_was_taken_is_sent_whatever_comes_after() -> None:
    with mail_receiving(Mailbox(hangs_after=True)) as mailbox:
        outcome = send(channel(mail_address(mailbox)), message(), settings=settings(mailbox.port), timeout=1.0)
        assert (outcome.is_sent, len(mailbox.mails)) == (True, 1)
        assert outcome.duration_seconds < 2.5


SLOW: dict[str, Callable[[Request], Answer]] = {
    "silent": lambda _: Answer(wait=20),
    "breaking": lambda _: Answer(breaks=True),
    "failing": lambda _: Answer(status=503, body=b"down SECRET"),
    "limiting": lambda _: Answer(status=429, headers={"Retry-After": "17"}),
}


@pytest.mark.parametrize("name", list(ADDRESSES))
@pytest.mark.parametrize("fault", list(SLOW))
def test_a_receiver_in_trouble_is_tried_again(services: HttpReceiver, name: str, fault: str) -> None:
    services.answer = SLOW[fault]
    began = time.monotonic()
    outcome = sent(services, ADDRESSES[name], timeout=1.0)
    assert (outcome.is_sent, outcome.is_permanent) == (False, False)
    assert time.monotonic() - began < 3
    assert outcome.error
    assert outcome.retry_after_seconds == (17 if fault == "limiting" else 0)
    assert outcome.may_have_arrived == (fault in ("silent", "breaking"))
    if fault == "silent":
        assert outcome.error == "no answer within 1 s"


@pytest.mark.parametrize("name", list(ADDRESSES))
@pytest.mark.parametrize("status", [302, 400, 403, 404])
def test_a_refusal_is_permanent_and_tells_no_secret(services: HttpReceiver, name: str, status: int) -> None:
    def answer(request: Request) -> Answer:
        secret = f"{request.path} {request.headers.get('authorization', '')} {request.raw.decode()}"
        return Answer(status=status, body=secret.encode(), headers={"Location": "https://hooks.slack.com/elsewhere"})

    services.answer = answer
    outcome = sent(services, ADDRESSES[name])
    assert (outcome.is_sent, outcome.is_permanent, len(services.got)) == (False, True, 1)
    assert outcome.error is not None
    assert str(status) in outcome.error
    assert "SECRET" not in outcome.error


@pytest.mark.parametrize("name", list(ADDRESSES))
def test_an_endless_answer_is_not_read(services: HttpReceiver, name: str) -> None:
    services.answer = lambda _: Answer(status=500, body=b"x" * 50_000_000)
    outcome = sent(services, ADDRESSES[name])
    assert (outcome.is_sent, outcome.is_permanent) == (False, False)
    assert outcome.error is not None
    assert len(outcome.error) <= 500


@pytest.mark.parametrize("name", ["telegram", "pagerduty", "teams", "ntfy"])
def test_a_success_whose_body_does_not_end_is_a_success(services: HttpReceiver, name: str) -> None:
    services.answer = lambda _: Answer(body=b"{}" + b" " * 1000, drip=0.05)
    outcome = sent(services, ADDRESSES[name], timeout=1.0)
    assert outcome.is_sent
    assert outcome.duration_seconds < 2.5


@pytest.mark.parametrize("fault", ["silent", "breaking", "failing", "limiting"])
def test_a_webhook_in_trouble_is_tried_again(fault: str) -> None:
    with http_receiving() as receiver:
        receiver.answer = SLOW[fault]
        outcome = sent(receiver, f"http://127.0.0.1:{receiver.port}/tokenSECRET", timeout=1.0)
        assert (outcome.is_sent, outcome.is_permanent) == (False, False)
        assert outcome.error is not None
        assert outcome.may_have_arrived == (fault in ("silent", "breaking"))
        assert outcome.duration_seconds < 3
        assert outcome.retry_after_seconds == (17 if fault == "limiting" else 0)


@pytest.mark.parametrize("status", [302, 400, 403, 404, 410])
def test_a_webhook_that_refuses_is_permanent(status: int) -> None:
    with http_receiving() as receiver:
        receiver.answer = lambda request: Answer(status=status, body=request.path.encode() * 50)
        outcome = sent(receiver, f"http://127.0.0.1:{receiver.port}/tokenSECRET")
        assert (outcome.is_sent, outcome.is_permanent, len(receiver.got)) == (False, True, 1)
        assert outcome.error is not None
        assert "SECRET" not in outcome.error


def test_what_a_gateway_answers_or_a_part_took_may_have_arrived(services: HttpReceiver) -> None:
    services.answer = lambda _: Answer(status=504)
    assert sent(services, TEAMS).may_have_arrived
    services.answer = lambda _: Answer(status=202 if len(services.got) == 2 else 500)
    outcome = sent(services, PAGERDUTY, item(1), item(2), item(3))
    assert (outcome.is_sent, outcome.may_have_arrived, len(services.got)) == (False, True, 3)


def test_slack_that_says_no_in_a_success_is_not_sent(services: HttpReceiver) -> None:
    services.answer = lambda _: Answer(body=b'{"ok": false, "error": "channel_not_found"}')
    outcome = sent(services, BOT)
    assert (outcome.is_sent, outcome.is_permanent) == (False, True)
    assert outcome.error is not None
    assert "channel_not_found" in outcome.error


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for address in (
            f"http://127.0.0.1:{port}/x",
            f"ntfy://127.0.0.1:{port}/topic",
            f"mailto://127.0.0.1:{port}?from=a@b.example&to=d@e.example",
        ):
            outcome = send(channel(address), message(), settings=settings(port))
            assert (outcome.is_sent, outcome.is_permanent) == (False, False)
            assert outcome.error is not None
            assert "refused" in outcome.error
            assert not outcome.may_have_arrived


def test_no_internal_address_is_reached_by_any_kind(services: HttpReceiver) -> None:
    """Neither by its number, nor by a name that leads there when the connection is opened."""
    with http_receiving() as inner, mail_receiving(Mailbox()) as mailbox:
        named = [f"http://127.0.0.1:{inner.port}/x", f"http://localhost:{inner.port}/x",
                 f"ntfy://127.0.0.1:{inner.port}/topic", f"ntfy://localhost:{inner.port}/topic",
                 mail_address(mailbox), mail_address(mailbox, host="localhost")]  # fmt: skip
        for address in (*named, *ADDRESSES.values()):
            ports = settings(services.port, inner.port, mailbox.port, allow="")
            outcome = send(channel(address), message(), settings=ports)
            assert (outcome.is_sent, outcome.is_permanent) == (False, True), address
            assert outcome.error is not None
            assert "TDS_OUTBOUND_ALLOW" in outcome.error
        assert (services.got, inner.got, mailbox.mails) == ([], [], [])


def test_the_environment_has_no_say(services: HttpReceiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login stolen password stolen\n")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("telegram", "ntfy", "slack"):
        assert sent(services, ADDRESSES[name]).is_sent
    assert ["authorization" in request.headers for request in services.got] == [False, False, False]


@pytest.mark.parametrize("name", ["slack", "telegram", "pagerduty", "teams", "ntfy"])
def test_a_test_arrives_and_says_so(services: HttpReceiver, name: str) -> None:
    outcome = send_test(channel(ADDRESSES[name]), settings=settings(services.port, TDS_INSTALLATION="acme"))
    assert outcome.is_sent
    assert "messages of alerts arrive here" in json.dumps([request.json for request in services.got])
    if name == "pagerduty":
        assert [request.json["event_action"] for request in services.got] == ["trigger", "resolve"]


def test_thirty_alerts_fit_every_service(services: HttpReceiver) -> None:
    items = [
        item(number, subject=f"worker{number}@host-{'x' * 50}", says="It is silent. " * 40) for number in range(30)
    ]
    for name, address in ADDRESSES.items():
        services.got.clear()
        assert sent(services, address, *items).is_sent, name
        assert len(services.got) == (30 if name == "pagerduty" else 1)
        body = services.got[0].json
        if name == "telegram":
            assert len(body["text"].encode("utf-16-le")) / 2 <= 4096
        elif name in ("slack", "bot"):
            assert len(body["attachments"][0]["blocks"][1]["text"]["text"]) <= 3000
            assert len(body["attachments"][0]["blocks"][0]["text"]["text"]) <= 150
        elif name == "ntfy":
            assert len(body["message"].encode()) <= 4096
        elif name == "teams":
            assert len(services.got[0].raw) <= 28_000


def test_hostile_text_is_only_text_everywhere(services: HttpReceiver) -> None:
    hostile = (
        "<!channel> <@U123> </b><script>x</script> [a](http://evil) `x` <at>all</at> *_~ \x1b[2J\u202e\r\nBcc: a@b.c"
    )
    items = [item(subject=hostile, says=hostile, reason=hostile, detail={"error": hostile})]
    for name in ("slack", "telegram", "teams"):
        send(channel(ADDRESSES[name]), message(*items, with_detail=True), settings=settings(services.port))
    slack, telegram, teams = services.got
    for request in services.got:
        text = json.dumps(request.json, ensure_ascii=False)
        assert "\\u001b" not in text
        assert "\u202e" not in text
    assert "<!channel>" not in slack.json["attachments"][0]["blocks"][1]["text"]["text"]
    assert "<script>" not in telegram.json["text"]
    assert "</b><script" not in telegram.json["text"]
    card = teams.json["attachments"][0]["content"]
    assert card["msteams"] == {"width": "full"}
    assert "[a](http" not in card["body"][0]["text"]
    with mail_receiving(Mailbox()) as mailbox:
        outcome = send(
            channel(mail_address(mailbox)), message(*items, with_detail=True), settings=settings(mailbox.port)
        )
        assert outcome.is_sent
        [mail] = mailbox.mails
        assert mail["bcc"] is None
        assert mailbox.envelopes == [("tds@example.com", ["ops@example.com"])]
        html = mail.get_body(("html",))
        assert html is not None
        assert "<script>" not in html.get_content()


def test_the_library_logs_nothing(services: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines show addresses and payloads."""
    lines: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(record.getMessage()))
    library = logging.getLogger("apprise")
    library.addHandler(handler)
    monkeypatch.setattr(library, "level", logging.DEBUG)
    services.answer = lambda _: Answer(status=400)
    for address in ADDRESSES.values():
        sent(services, address)
    library.removeHandler(handler)
    assert lines == []


@pytest.mark.parametrize("module", [ntfy, pagerduty, slack, telegram, workflows, smtp])
def test_the_library_reaches_the_network_through_ours_alone(module: ModuleType) -> None:
    """A version of the library that would reach it otherwise must not pass unnoticed."""
    name, ours = ("smtplib", transport.CheckedSmtplib) if module is smtp else ("requests", transport.CheckedRequests)
    assert isinstance(vars(module)[name], ours)
    used = set(re.findall(rf"(?<![\w.]){name}\.(\w+)\b", inspect.getsource(module)))
    assert used
    assert used <= set(dir(ours))
    other = {"socket", "urllib.request", "http.client", "httpx", "aiohttp", "urllib3"}
    assert not other & set(re.findall(r"^(?:import|from) ([\w.]+)", inspect.getsource(module), re.MULTILINE))
