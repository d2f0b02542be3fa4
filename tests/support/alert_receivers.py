"""Receivers of alerts' messages in the test's process: an HTTP server that can misbehave, with TLS, and a mail server.

Services with hosts of their own (Slack, Telegram, PagerDuty, ntfy.sh) are reached by the names they have: only what
these names resolve to is replaced, and a certificate for them comes from an authority that tests alone trust.
"""

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVICES = ("hooks.slack.com", "slack.com", "api.telegram.org", "events.pagerduty.com", "events.eu.pagerduty.com",
            "ntfy.sh", "prod-1.westeurope.logic.azure.com", "localhost", "mail.test")  # fmt: skip


@dataclass
class Request:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Answer:
    """What a receiver does: after `wait` seconds it answers; `drip` seconds pass between the bytes of its body."""

    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    drip: float = 0.0
    breaks: bool = False


@dataclass
class HttpReceiver:
    """Keeps what came, in order of arrival. `answer`: by the request."""

    port: int = 0
    answer: Callable[[Request], Answer] = lambda request: Answer()
    got: list[Request] = field(default_factory=list)

    def handle(self, asked: BaseHTTPRequestHandler) -> None:
        raw = asked.rfile.read(int(asked.headers.get("Content-Length") or 0))
        request = Request(asked.command, asked.path, {k.lower(): v for k, v in asked.headers.items()}, raw)
        self.got.append(request)
        answer = self.answer(request)
        time.sleep(answer.wait)
        if answer.breaks:
            asked.connection.shutdown(2)
            return
        asked.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            asked.send_header(name, value)
        asked.end_headers()
        if not answer.drip:
            asked.wfile.write(answer.body)
        for byte in answer.body if answer.drip else b"":
            asked.wfile.write(bytes([byte]))
            asked.wfile.flush()
            time.sleep(answer.drip)


@contextmanager
def http_receiving(tls: ssl.SSLContext | None = None) -> Iterator[HttpReceiver]:
    """A receiver on a free port of loopback."""
    receiver = HttpReceiver()

    class Asked(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            receiver.handle(self)

        def do_GET(self) -> None:
            receiver.handle(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            pass  # a client that gave up

    server = Server(("127.0.0.1", 0), Asked)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    receiver.port = server.server_port
    yield receiver
    server.shutdown()
    server.server_close()


@dataclass
class Mailbox:
    """What a mail server got. `refuses`: its answer to a recipient, `rejects`: to a message; "" takes it."""

    port: int = 0
    login: tuple[str, str] | None = None
    refuses: str = ""
    rejects: str = ""
    wait: float = 0.0
    hangs_after: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802
        self, _s: Any, _x: Any, envelope: Any, address: str, _o: Any
    ) -> str:
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        await asyncio.sleep(self.wait)
        if self.rejects:
            return self.rejects
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return "250 taken"

    async def handle_QUIT(  # noqa: N802
        self, _s: Any, _x: Any, _e: Any
    ) -> str:
        if self.hangs_after:
            await asyncio.sleep(3)
        return "221 bye"

    def authenticate(self, _server: Any, _s: Any, _e: Any, _m: str, data: LoginPassword) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        self.logins.append(given)
        return AuthResult(success=given == self.login, handled=False)


@contextmanager
def mail_receiving(mailbox: Mailbox, *, tls: ssl.SSLContext | None = None, implicit: bool = False) -> Iterator[Mailbox]:
    """A mail server on a free port of loopback; with `tls` it offers STARTTLS, or begins with TLS if `implicit`."""
    options: dict[str, Any] = {"ssl_context": tls} if implicit else {"tls_context": tls, "require_starttls": bool(tls)}
    if mailbox.login:
        needs_tls = bool(tls) and not implicit
        options |= {"authenticator": mailbox.authenticate, "auth_required": True, "auth_require_tls": needs_tls}
    controller = Controller(mailbox, hostname="127.0.0.1", port=_free_port(), ready_timeout=10, **options)
    controller.start()
    mailbox.port = controller.port
    yield mailbox
    controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Authority:
    """A certificate authority of tests: its certificate's file, and a server's side of TLS for SERVICES."""

    path: Path
    server: ssl.SSLContext


def authority(folder: Path) -> Authority:
    """Make an authority and a certificate for the services."""
    key, issuer = ec.generate_private_key(ec.SECP256R1()), _name("Authority of tests")
    root = _certificate(key, issuer, issuer).add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    server_key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(name) for name in SERVICES])
    leaf = _certificate(server_key, _name("Receiver"), issuer).add_extension(names, False)
    for name, built in (("root.pem", root), ("server.pem", leaf)):
        (folder / name).write_bytes(built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return Authority(folder / "root.pem", context)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(key: ec.EllipticCurvePrivateKey, subject: x509.Name, issuer: x509.Name) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        subject_name=subject, issuer_name=issuer, public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1), not_valid_after=now + timedelta(days=2),
    )  # fmt: skip
