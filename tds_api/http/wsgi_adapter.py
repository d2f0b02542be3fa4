"""Between an RSGI server and a WSGI application: the environment of a request, and the whole of its answer."""

import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_ALWAYS: dict[str, Any] = {
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
    """The headers of an RSGI request, names in small letters."""

    def items(self) -> list[tuple[str, str]]: ...


class Scope(Protocol):
    """What an RSGI server says of a request before its body."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    authority: str | None
    headers: Headers


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def environ_of(scope: Scope) -> dict[str, Any]:
    """The WSGI environment of a request, still without its body. A header that comes again is joined as proxies do.

    Headers with an underscore in their name are left out.
    """
    server, _, port = scope.server.rpartition(":")
    environ = {
        **_ALWAYS,
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
        if "_" in name:  # in the environment it would pass for a header that proxies vouch for
            continue
        key = _key(name)
        before = environ.get(key)
        environ[key] = value if before is None else f"{before}{';' if key == 'HTTP_COOKIE' else ','}{value}"
    if "HTTP_HOST" not in environ:
        environ["HTTP_HOST"] = scope.authority or ""
    return environ


def put_body(environ: dict[str, Any], body: bytes | None) -> None:
    """Give the environment its body, whole and of a known length, however it was sent; None for one not read."""
    environ["wsgi.input"] = BytesIO(body or b"")
    if body is None:
        return
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    if body or "CONTENT_LENGTH" in environ:
        environ["CONTENT_LENGTH"] = str(len(body))


def answer_of(application: "WSGIApplication", environ: dict[str, Any]) -> Answer:
    """The answer of a WSGI application, read to its end."""
    begun: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], object]:
        begun[:] = [int(status[:3]), headers]
        return lambda _piece: None

    pieces: Iterable[bytes] = application(environ, start)
    try:
        body = b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
    return Answer(begun[0], begun[1], body)


def _latin(text: str) -> str:
    """Text as WSGI spells it: each byte of its UTF-8 is one character."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("latin-1")


def _key(name: str) -> str:
    # Not remembered: senders choose the names.
    return _UNPREFIXED.get(name) or "HTTP_" + name.upper().replace("-", "_")
