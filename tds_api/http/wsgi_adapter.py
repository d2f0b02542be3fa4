"""The adapter from an RSGI server to a WSGI application: request environments, and whole responses."""

import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

Environ = dict[str, Any]

_CONSTANT: Environ = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
_UNPREFIXED = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


class Headers(Protocol):
    """The headers of an RSGI request, names in lower case."""

    def items(self) -> list[tuple[str, str]]: ...


class Scope(Protocol):
    """An RSGI request without its body."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    authority: str | None
    headers: Headers


class BodyStream(Protocol):
    """The body of an RSGI request: whole, or piece by piece."""

    async def __call__(self) -> bytes: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...


class HttpExchange(BodyStream, Protocol):
    """The body of an RSGI request, and the way to its response (the RSGI protocol object)."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class WsgiResponse(NamedTuple):
    """A whole response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def environ_of(scope: Scope) -> Environ:
    """The WSGI environment of a request, still without its body.

    Values of a repeated header are joined, as proxies do. Headers with an underscore in their name are left out.
    """
    server, _, port = scope.server.rpartition(":")
    environ = {
        **_CONSTANT,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": _latin(scope.path),
        "QUERY_STRING": _latin(scope.query_string),
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.url_scheme": scope.scheme,
    }
    for name, value in scope.headers.items():
        if "_" in name:  # WSGI cannot tell it from the header with a hyphen, which only a trusted proxy may set
            continue
        key = _key(name)
        before = environ.get(key)
        environ[key] = value if before is None else f"{before}{';' if key == 'HTTP_COOKIE' else ','}{value}"
    if "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority or ""
    return environ


def put_body(environ: Environ, body: bytes | None) -> None:
    """Put a whole body with its length into the environment, however it was sent; None if it was not read."""
    environ["wsgi.input"] = BytesIO(body or b"")
    if body is None:
        return
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    if body or "CONTENT_LENGTH" in environ:
        environ["CONTENT_LENGTH"] = str(len(body))


def run_wsgi(application: "WSGIApplication", environ: Environ) -> WsgiResponse:
    """The response of a WSGI application, read to its end."""
    head: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], object]:
        head[:] = [int(status[:3]), headers]
        return lambda _piece: None

    pieces: Iterable[bytes] = application(environ, start)
    try:
        body = b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    return WsgiResponse(head[0], head[1], body)


class EnvironHeaders(Mapping[str, str]):
    """The headers of a WSGI environment, found by any spelling of their name; a third of the cost of Werkzeug's."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        return str(self._environ[_cached_key(name)])

    def get(self, name: str, default: Any = None) -> Any:
        return self._environ.get(_cached_key(name), default)

    def __iter__(self) -> Iterator[str]:
        return (key[5:].replace("_", "-") for key in self._environ if key.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@cache
def _cached_key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def _latin(text: str) -> str:
    """Text as PEP 3333 encodes it: each byte of its UTF-8 is one character."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _key(name: str) -> str:
    # Not cached: senders choose these names.
    return _UNPREFIXED.get(name) or "HTTP_" + name.upper().replace("-", "_")
