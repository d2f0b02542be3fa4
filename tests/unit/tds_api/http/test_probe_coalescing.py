"""Probes: one answer serves all who wait for it, and none is told what was so before it asked."""

import asyncio
import threading
from typing import Any

from tds_api.http.correlation import CORRELATION_KEY
from tds_api.http.probe_coalescing import Probes
from tds_api.http.wsgi_adapter import WsgiResponse


def environ(name: str, **more: Any) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "PATH_INFO": "/readyz", CORRELATION_KEY: name, **more}


class Asked:
    """A WSGI application that answers with how often it was asked, once it may."""

    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []
        self.may_answer = threading.Event()

    def __call__(self, environ: dict[str, Any]) -> WsgiResponse:
        self.environs.append(environ)
        self.may_answer.wait(10)
        return WsgiResponse(200, [("X-Correlation-Id", environ[CORRELATION_KEY])], str(len(self.environs)).encode())


def test_who_asks_while_an_answer_is_made_shares_the_next_one() -> None:
    asked = Asked()

    async def talk() -> list[WsgiResponse]:
        probes = Probes(asked)
        first = asyncio.create_task(probes.answer(environ("a")))
        while not asked.environs:
            await asyncio.sleep(0.001)
        later = [asyncio.create_task(probes.answer(environ(name))) for name in "bcd"]
        await asyncio.sleep(0.01)
        asked.may_answer.set()
        return await asyncio.gather(first, *later)

    answers = asyncio.run(talk())
    assert [each.body for each in answers] == [b"1", b"2", b"2", b"2"]
    assert [dict(each.headers)["X-Correlation-Id"] for each in answers] == ["a", "b", "c", "d"]


def test_who_goes_away_takes_no_answer_from_the_others() -> None:
    asked = Asked()

    async def talk() -> WsgiResponse:
        probes = Probes(asked)
        impatient = asyncio.create_task(probes.answer(environ("a")))
        patient = asyncio.create_task(probes.answer(environ("b")))
        await asyncio.sleep(0.01)
        impatient.cancel()
        asked.may_answer.set()
        return await patient

    assert asyncio.run(talk()).body == b"1"


def test_a_failure_is_reported_to_those_who_waited_and_to_no_one_later() -> None:
    tries = iter((ZeroDivisionError(), WsgiResponse(200, [], b"well")))

    def ask(_environ: dict[str, Any]) -> WsgiResponse:
        found = next(tries)
        if isinstance(found, Exception):
            raise found
        return found

    async def talk() -> list[Any]:
        probes = Probes(ask)
        failed = await asyncio.gather(*(probes.answer(environ(name)) for name in "ab"), return_exceptions=True)
        return [*failed, await probes.answer(environ("c"))]

    first, second, third = asyncio.run(talk())
    assert isinstance(first, ZeroDivisionError)
    assert isinstance(second, ZeroDivisionError)
    assert third.body == b"well"


def test_what_one_says_of_itself_spoils_no_answer_for_the_others() -> None:
    asked = Asked()
    asked.may_answer.set()
    said = {"HTTP_HOST": "evil host", "QUERY_STRING": "a=b", "CONTENT_LENGTH": "5", "HTTP_IF_NONE_MATCH": "*"}
    asyncio.run(Probes(asked).answer(environ("a", **said)))
    [seen] = asked.environs
    assert not {"HTTP_HOST", "CONTENT_LENGTH", "HTTP_IF_NONE_MATCH"} & seen.keys()
    assert seen["QUERY_STRING"] == ""
    assert seen["wsgi.input"].read() == b""
