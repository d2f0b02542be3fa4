"""Request bodies: read within a limit, a deadline and a least rate, and counted while they are read."""

import asyncio
from typing import Any

import pytest

from tds_api.http import request_body
from tds_api.http.request_body import BodyReader
from tds_core.sources.zoho.webhooks.errors import (
    BodiesCrowdedError,
    BodyCutShortError,
    BodyTooLargeError,
    BodyTooSlowError,
)
from tests.support.rsgi_client import Exchange

CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked"}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become hundredths."""
    monkeypatch.setattr(request_body, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(request_body, "DEADLINE_SECONDS", 0.6)
    monkeypatch.setattr(request_body, "LEAST_BYTES_PER_SECOND", 100_000)
    monkeypatch.setattr(request_body, "_SMALL_BYTES", 1000)


def length(size: Any) -> dict[str, str]:
    return {"CONTENT_LENGTH": str(size)}


def read(exchange: Exchange, environ: dict[str, str], limit: int = 50_000) -> bytes:
    return asyncio.run(BodyReader().read(exchange, environ, limit))


def test_a_body_is_read_whole_with_a_length_and_without_one() -> None:
    pieces = [b"a" * 400, b"b" * 400]
    assert read(Exchange(pieces), length(800)) == b"".join(pieces)
    assert read(Exchange(pieces), CHUNKED) == b"".join(pieces)
    assert read(Exchange([b"a" * 20_000] * 2), length(40_000)) == b"a" * 40_000


@pytest.mark.parametrize("environ", [{}, {"CONTENT_LENGTH": "many"}, {"CONTENT_LENGTH": "-5"}])
def test_a_request_without_a_body_is_not_waited_for(environ: dict[str, str]) -> None:
    exchange = Exchange([b"never asked for"], pause=60)
    assert read(exchange, environ) == b""


def test_an_announced_length_over_the_limit_is_refused_without_reading() -> None:
    for size in (50_001, "9" * 5000):
        exchange = Exchange([b"x" * 50_001])
        with pytest.raises(BodyTooLargeError, match="50000"):
            read(exchange, length(size))
        assert exchange.read == 0


def test_a_body_of_unknown_length_is_read_no_further_than_its_limit() -> None:
    exchange = Exchange([b"x" * 10_000] * 1000)
    with pytest.raises(BodyTooLargeError):
        read(exchange, CHUNKED)
    assert exchange.read == 60_000


@pytest.mark.parametrize(("size", "environ"), [(900, length(900)), (40_000, length(40_000)), (900, CHUNKED)])
def test_a_body_that_drips_is_given_up(size: int, environ: dict[str, str]) -> None:
    with pytest.raises(BodyTooSlowError, match="too slowly"):
        read(Exchange([b"x"] * size, pause=0.02), environ)


def test_a_body_that_keeps_the_least_rate_has_until_its_deadline() -> None:
    steady = [b"x" * 4000] * 10  # 0.2 s at 200,000 bytes a second: longer than the grace
    assert len(read(Exchange(steady, pause=0.02), length(40_000))) == 40_000
    with pytest.raises(BodyTooSlowError):
        read(Exchange([b"x" * 4000] * 100, pause=0.02), CHUNKED, 10**9)


@pytest.mark.parametrize("size", [900, 40_000])
def test_a_connection_that_ends_early_is_reported_from_a_slow_one(size: int) -> None:
    with pytest.raises(BodyCutShortError, match=f"{size} bytes were announced, 3 came"):
        read(Exchange([b"abc"]), length(size))


def test_all_larger_bodies_together_have_a_bound_and_small_ones_get_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "MOST_BYTES_AT_ONCE", 50_000)

    async def crowd() -> list[Any]:
        bodies = BodyReader()
        large = [bodies.read(Exchange([b"x" * 20_000] * 2, pause=0.05), length(40_000), 50_000) for _ in range(3)]
        small = bodies.read(Exchange([b"x" * 900], pause=0.06), length(900), 50_000)
        found = await asyncio.gather(*large, small, return_exceptions=True)
        found.append(await bodies.read(Exchange([b"x" * 40_000]), length(40_000), 50_000))
        return list(found)

    *first, small, afterwards = asyncio.run(crowd())
    assert any(isinstance(each, BodiesCrowdedError) for each in first)
    assert (len(small), len(afterwards)) == (900, 40_000), "what was refused or read takes no room any more"


def test_a_refused_body_is_dropped_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "_LINGER_SECONDS", 0.1)
    polite, endless = Exchange([b"x" * 10_000] * 5), Exchange(iter(lambda: b"x", b""), pause=0.001)
    asyncio.run(BodyReader().drop(polite))
    asyncio.run(BodyReader().drop(endless))
    assert polite.read == 50_000
    assert 0 < endless.read < 1000
