"""What two receivers of alerts got in all: a mail server, and an HTTP server that verifies the webhooks' signatures."""

import contextlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

from tests.support.alert_receivers import Answer, HttpReceiver, Mailbox, Request, http_receiving, mail_receiving

#: As the plain text of a message names each of its alerts.
_LINE = re.compile(r"^- (?P<badge>Over|[A-Z]+)[^\n]*?(?:\(alert (?P<id>\d+)\))?$", re.MULTILINE)
WEBHOOK, MAIL = "webhook", "e-mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One alert of a message that a receiver took. `at`: by the monotonic clock. `alert`: as the webhook's JSON."""

    receiver: str
    message_id: str
    kind: str
    rule: str
    subject: str
    at: float
    alert: dict[str, Any] = field(default_factory=dict)


class _TimedMailbox(Mailbox):
    """A mailbox that keeps when each mail came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.times.append(time.monotonic())
        return await super().handle_DATA(server, session, envelope)


class Arrivals:
    """What arrived so far. `secret`: of the webhook's channel; what it does not sign is refused and counted."""

    def __init__(self, http: HttpReceiver, mailbox: _TimedMailbox) -> None:
        self.secret = ""
        self.unverified_count = 0
        self._mailbox = mailbox
        self._posted: list[Arrival] = []
        self._by_id: dict[int, tuple[str, str]] = {}
        self._by_title: dict[str, tuple[str, str]] = {}
        self.http, self.mail_port = http, mailbox.port
        http.answer = self._take

    @property
    def url(self) -> str:
        """The address of the webhook's receiver."""
        return f"http://127.0.0.1:{self.http.port}/alerts"

    @property
    def mail_address(self) -> str:
        """The address of the mail channel."""
        return f"mailto://127.0.0.1:{self.mail_port}?from=tds@example.com&to=ops@example.com"

    def posted(self) -> list[Arrival]:
        """The alerts that came as webhooks, in order of arrival."""
        return list(self._posted)

    def mailed(self) -> list[Arrival]:
        """The alerts that came by e-mail; ids are looked up in what came as webhooks."""
        mails = list(zip(self._mailbox.mails, self._mailbox.times, strict=False))
        return [arrival for mail, at in mails for arrival in self._in_mail(mail, at)]

    def _take(self, request: Request) -> Answer:
        at = time.monotonic()
        try:
            body = Webhook(self.secret).verify(request.raw.decode(), request.headers)
        except Exception:
            self.unverified_count += 1
            return Answer(status=401)
        for alert in body["data"]["alerts"]:
            name = alert["rule"], alert["subject"]
            self._by_id[int(alert["id"])] = name
            self._by_title[alert["title"]] = name
            self._posted.append(
                Arrival(
                    receiver=WEBHOOK, message_id=request.headers["webhook-id"], kind=alert["kind"], rule=name[0],
                    subject=name[1], at=at, alert=alert,
                )
            )  # fmt: skip
        return Answer()

    def _in_mail(self, mail: Any, at: float) -> Iterator[Arrival]:
        text = mail.get_body(preferencelist=("plain",)).get_content()
        title = str(mail["Subject"]).partition(": ")[2].partition(":")[0].strip()
        for line in _LINE.finditer(text.replace("\r\n", "\n")):
            # What is told without the database has no number.
            known = self._by_id.get(int(line["id"])) if line["id"] else self._by_title.get(title)
            rule, subject = known or (title, "?")
            kind = "resolved" if line["badge"] == "Over" else "firing"
            message_id = str(mail["Message-ID"]).strip("<>").partition("@")[0]
            yield Arrival(receiver=MAIL, message_id=message_id, kind=kind, rule=rule, subject=subject, at=at)


@contextmanager
def arriving() -> Iterator[Arrivals]:
    """Both receivers, on free ports of loopback."""
    with contextlib.ExitStack() as ends:
        http = ends.enter_context(http_receiving())
        mailbox = _TimedMailbox()
        ends.enter_context(mail_receiving(mailbox))
        yield Arrivals(http, mailbox)
