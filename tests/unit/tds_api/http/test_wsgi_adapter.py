"""The adapter: what a WSGI application reads of an RSGI request, and its answer whole."""

from collections.abc import Iterator
from typing import Any

import pytest

from tds_api.http.wsgi_adapter import environ_of, put_body, run_wsgi
from tests.support.rsgi_client import Headers, Scope


def test_the_environment_says_what_the_request_said() -> None:
    headers = Headers([("host", "tds.example"), ("content-type", "text/x"), ("content-length", "5"), ("x-a-b", "c")])
    environ = environ_of(Scope("PUT", "/a/b", "c=d&e", headers, client="[2001:db8::1]:5000", server="10.0.0.1:8800"))
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("PUT", "/a/b", "c=d&e")
    assert (environ["HTTP_HOST"], environ["HTTP_X_A_B"]) == ("tds.example", "c")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/x", "5")
    assert (environ["REMOTE_ADDR"], environ["SERVER_NAME"], environ["SERVER_PORT"]) == (
        "2001:db8::1",
        "10.0.0.1",
        "8800",
    )
    assert "HTTP_CONTENT_TYPE" not in environ


def test_a_path_is_spelled_as_wsgi_spells_it() -> None:
    assert environ_of(Scope(path="/prod\u00fcct"))["PATH_INFO"] == "/prod\u00fcct".encode().decode("latin-1")


@pytest.mark.parametrize(("name", "key", "joined"), [
    ("x-twice", "HTTP_X_TWICE", "a,b"), ("cookie", "HTTP_COOKIE", "a;b"), ("content-type", "CONTENT_TYPE", "a,b"),
])  # fmt: skip
def test_a_header_that_comes_again_is_joined(name: str, key: str, joined: str) -> None:
    assert environ_of(Scope(headers=Headers([(name, "a"), (name, "b")])))[key] == joined


def test_a_header_with_an_underscore_passes_for_no_other() -> None:
    pairs = [("x-forwarded-for", "203.0.113.9"), ("x_forwarded_for", "127.0.0.1"), ("content_length", "3")]
    environ = environ_of(Scope(headers=Headers(pairs)))
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.9"
    assert not {"CONTENT_LENGTH", "HTTP_CONTENT_LENGTH"} & set(environ)


def test_a_body_has_a_length_however_it_was_sent() -> None:
    environ = environ_of(Scope(headers=Headers([("transfer-encoding", "chunked")])))
    put_body(environ, b"abc")
    assert (environ["CONTENT_LENGTH"], environ["wsgi.input"].read()) == ("3", b"abc")
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_a_body_that_was_not_read_keeps_the_length_it_was_announced_with() -> None:
    environ = environ_of(Scope(headers=Headers([("content-length", "70000000")])))
    put_body(environ, None)
    assert (environ["CONTENT_LENGTH"], environ["wsgi.input"].read()) == ("70000000", b"")


def test_an_answer_is_read_to_its_end_and_closed() -> None:
    closed: list[bool] = []

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            yield from (b"a", b"b")

        def close(self) -> None:
            closed.append(True)

    def application(environ: dict[str, Any], start: Any) -> Pieces:
        start("404 NOT FOUND", [("X", "y")])
        return Pieces()

    assert run_wsgi(application, {}) == (404, [("X", "y")], b"ab")
    assert closed == [True]
