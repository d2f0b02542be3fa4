"""The transport below the notification library: connections only where they may go, within a fixed time.

The library calls `requests` and `smtplib`, which know no SSRF guard and no time limit for a whole call, follow
redirects, and read proxies and logins from the environment. In the few of its modules that TDS uses, those two names
are replaced by what is declared here; everything else of the library stays as it is.
"""

import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from tds_core.subscriptions.http_sender import CONNECT_SECONDS
from tds_core.subscriptions.ssrf_guard import TargetPolicy, TargetRefusedError

#: How much of a response the library gets to read.
MOST_BYTES = 262_144
_CHUNK = 16_384
_FIRST_ERROR = 400

#: A message of a mail, as it may be changed before it is sent.
MailChange = Callable[[str], str]


class _CheckedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        try:
            return open_socket(self._dns_host, int(self.port or 0))
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error


class _CheckedTlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _CheckedConnection._new_conn(self)  # type: ignore[arg-type]


class _CheckedPool(HTTPConnectionPool):
    ConnectionCls = _CheckedConnection


class _CheckedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _CheckedTlsConnection


class _CheckedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # The system's certificates beside those that `requests` brings, so that SSL_CERT_FILE counts here as elsewhere.
        super().init_poolmanager(*args, **kwargs, ssl_context=ssl.create_default_context())
        self.poolmanager.pool_classes_by_scheme = {"http": _CheckedPool, "https": _CheckedTlsPool}


def _session() -> requests.Session:
    """A session whose connections are guarded, and which reads nothing of the environment."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _CheckedAdapter())
    session.mount("http://", _CheckedAdapter())
    return session


@dataclass(slots=True)
class Exchange:
    """What one call of the library sent and got. `deadline`: by the monotonic clock.

    `status`: of the last HTTP response or the last refusal of a mail server. `refusal`: why a connection may not be
    opened. `is_taken`: a mail server took the message, whatever came after. `is_taken_in_part`: one of several calls
    was answered with success. `is_late`: the deadline ended it. `has_begun`: sending began, and no answer is known.
    """

    policy: TargetPolicy
    deadline: float
    change_mail: MailChange | None = None
    status: int | None = None
    says: str = ""
    error: str = ""
    refusal: str = ""
    retry_after: str = ""
    is_taken: bool = False
    is_taken_in_part: bool = False
    is_late: bool = False
    has_begun: bool = False
    sockets: list[socket.socket] = field(default_factory=list)
    session: requests.Session = field(default_factory=_session)

    @property
    def left_seconds(self) -> float:
        """The seconds until the deadline, at least a hundredth."""
        return max(0.01, self.deadline - time.monotonic())

    def abort(self) -> None:
        """End every connection, so that whatever waits for one fails at once."""
        self.is_late = True
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connections."""
        for each in self.sockets:
            each.close()
        self.sockets.clear()
        self.session.close()


_exchange: ContextVar[Exchange] = ContextVar("exchange")


@contextmanager
def exchanging(exchange: Exchange) -> Iterator[None]:
    """Make `exchange` the one that calls of the library in this thread use."""
    token = _exchange.set(exchange)
    try:
        yield
    finally:
        _exchange.reset(token)


def open_socket(host: str, port: int) -> socket.socket:
    """Connect to the first address of a host that may be reached and answers. Raises OSError."""
    exchange, failure = _exchange.get(), OSError(f"{host} has no address")
    for family, kind, protocol, _, address in resolved(host.strip("[]"), port):
        try:
            exchange.policy.check_connection(str(address[0]), int(address[1]))
        except TargetRefusedError as error:
            exchange.refusal = str(error)
            failure = OSError(str(error))
            continue
        opened = socket.socket(family, kind, protocol)
        exchange.sockets.append(opened.dup())
        try:
            opened.settimeout(min(CONNECT_SECONDS, exchange.left_seconds))
            opened.connect(address)
        except OSError as error:
            opened.close()
            failure = error
            continue
        exchange.refusal = ""
        opened.settimeout(exchange.left_seconds)
        return opened
    exchange.error, exchange.has_begun = f"no connection to {host}:{port}: {failure}", False
    raise failure


def resolved(host: str, port: int) -> list[Any]:
    """The addresses of a host, as `socket.getaddrinfo` gives them. Raises OSError."""
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


class CheckedRequests:
    """What stands for the module `requests`: the calls and names of it that the library uses."""

    codes = requests.codes
    RequestException = requests.RequestException

    def get(self, url: str, **options: Any) -> requests.Response:
        """As `requests.get`."""
        return self.request("get", url, **options)

    def post(self, url: str, **options: Any) -> requests.Response:
        """As `requests.post`."""
        return self.request("post", url, **options)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """As `requests.request`, without redirects, proxies, `.netrc`, or more of a body than is needed."""
        exchange = _exchange.get()
        left = exchange.left_seconds
        given = {name: value for name, value in options.items() if name in ("data", "headers", "params", "auth")}
        given["headers"] = {**(given.get("headers") or {}), "Accept-Encoding": "identity"}
        try:
            exchange.policy.check_url(url)
            exchange.has_begun = True
            response = exchange.session.request(
                method, url, **given, timeout=(min(CONNECT_SECONDS, left), left), allow_redirects=False, stream=True
            )
            response._content = _beginning(response, exchange)
        except TargetRefusedError as error:
            exchange.refusal = str(error)
            raise requests.ConnectionError(str(error)) from None
        except requests.RequestException as error:
            exchange.status, exchange.error = None, exchange.error or _root(error)
            exchange.has_begun &= not isinstance(error, requests.exceptions.SSLError)
            raise
        exchange.status, exchange.error, exchange.has_begun = response.status_code, "", False
        exchange.says = response.content.decode("utf-8", "replace")
        exchange.retry_after = response.headers.get("Retry-After", "")
        return response


def _beginning(response: requests.Response, exchange: Exchange) -> bytes:
    """What a body begins with. A success whose body does not end in time is still one, and is not sent again."""
    read = b""
    with suppress(requests.RequestException):
        for chunk in response.iter_content(_CHUNK):
            read += chunk
            if len(read) >= MOST_BYTES or time.monotonic() > exchange.deadline:
                break
    response.close()
    return read[:MOST_BYTES]


def _root(error: BaseException) -> str:
    """What an error comes from, in words: the innermost one, which names no path."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {error}"


class CheckedSmtp(smtplib.SMTP):
    """As `smtplib.SMTP`, with guarded connections; what the server refused is written down."""

    def __init__(self, host: str = "", port: int = 0, _name: str | None = None, **options: Any) -> None:
        # Without a name of ours, smtplib looks one up, however long that takes.
        super().__init__(host, port, socket.gethostname(), **options)

    def _get_socket(self, host: str, port: int, _timeout: float) -> socket.socket:
        return open_socket(host, port)

    def getreply(self) -> tuple[int, bytes]:
        """As in smtplib."""
        code, says = super().getreply()
        if code >= _FIRST_ERROR:
            exchange = _exchange.get()
            exchange.status, exchange.says = code, says.decode("utf-8", "replace")
        return code, says

    def sendmail(self, from_addr: str, to_addrs: Any, msg: Any, *args: Any, **options: Any) -> Any:
        """As in smtplib; the message is finished first. It is taken once this returns, whatever comes after."""
        exchange = _exchange.get()
        finished = exchange.change_mail(msg) if exchange.change_mail else msg
        exchange.has_begun = True
        try:
            refused = super().sendmail(from_addr, to_addrs, finished, *args, **options)
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused):
            exchange.has_begun = False
            raise
        exchange.is_taken, exchange.has_begun = not refused, False
        return refused


class CheckedSmtpTls(smtplib.SMTP_SSL, CheckedSmtp):
    """As `smtplib.SMTP_SSL`, which wraps the guarded connection."""

    def __init__(self, host: str = "", port: int = 0, _name: str | None = None, **options: Any) -> None:
        super().__init__(host, port, socket.gethostname(), **options)


class CheckedSmtplib:
    """What stands for the module `smtplib`."""

    SMTP = CheckedSmtp
    SMTP_SSL = CheckedSmtpTls
    SMTPException = smtplib.SMTPException
