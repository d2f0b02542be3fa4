"""The door promises: it answers what was taken in, and Flask hears of everything else, with the reason."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client, EnvironBuilder

from tds_api.correlation import CORRELATION_KEY
from tds_api.door import REFUSAL_KEY, Door
from tds_core.sync.inbox import Receipt

PATH = "/api/tds/zoho/webhooks/product/updated"


class Behind:
    """What stands behind the door: remembers what reached it."""

    def __init__(self) -> None:
        self.reached: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.reached.append(environ)
        start_response("418 I'M A TEAPOT", [])
        return [b""]


@pytest.fixture
def behind() -> Behind:
    return Behind()


def refusing(error: Exception) -> Callable[..., Receipt]:
    def take(*_: Any) -> Receipt:
        raise error

    return take


@pytest.mark.parametrize(("receipt", "status", "body"), [
    (Receipt(9007199254740993, False), 202, {"event_id": "9007199254740993", "duplicate": False}),
    (Receipt(7, True), 200, {"event_id": "7", "duplicate": True}),
])  # fmt: skip
def test_what_was_taken_in_is_answered_at_once(
    behind: Behind, receipt: Receipt, status: int, body: dict[str, Any]
) -> None:
    answer = Client(Door(lambda *_: receipt, behind)).post(PATH, headers={"X-Correlation-Id": "mine"})
    assert (answer.status_code, answer.json) == (status, body)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Correlation-Id"] == "mine"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert behind.reached == []


@pytest.mark.parametrize(("path", "named"), [
    (PATH, ("product", "updated")),
    ("/api/tds/zoho/webhooks", (None, None)),
    ("/api/tds/zoho/webhooks/no%20such/thing", ("no such", "thing")),
])  # fmt: skip
def test_the_address_names_entity_and_event(behind: Behind, path: str, named: tuple[str | None, str | None]) -> None:
    taken: list[Any] = []

    def take(_: dict[str, Any], *names: str | None) -> Receipt:
        taken.append(names)
        return Receipt(1, False)

    assert Client(Door(take, behind)).post(path).status_code == 202
    assert taken == [named]


@pytest.mark.parametrize(("method", "path"), [
    ("GET", PATH),
    ("PATCH", PATH),
    ("POST", f"{PATH}/"),
    ("POST", "/api/tds/zoho/webhooks/"),
    ("POST", "/api/tds/zoho/webhooks/recent"),
    ("POST", "/api/tds/zoho/webhooks//updated"),
    ("POST", "/api/tds/zoho/webhooks/product/updated/more"),
    ("POST", "/api/tds/zoho/webhooks/prodüct/updated"),
    ("POST", "/api/tds/zoho/webhooksproduct/updated"),
    ("POST", "/api/tds/sync/product"),
])  # fmt: skip
def test_every_other_request_is_flasks_untouched(behind: Behind, method: str, path: str) -> None:
    door = Door(refusing(AssertionError("must not be asked")), behind)
    assert Client(door).open(path, method=method).status_code == 418
    assert REFUSAL_KEY not in behind.reached[0]


def test_what_was_refused_reaches_flask_with_the_reason_and_its_correlation_id(behind: Behind) -> None:
    why = ValueError("anything")
    environ = EnvironBuilder(PATH, method="POST", headers={"X-Correlation-Id": "mine"}).get_environ()
    Client(Door(refusing(why), behind)).open(environ)
    assert behind.reached[0][REFUSAL_KEY] is why
    assert behind.reached[0][CORRELATION_KEY] == "mine"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_every_method_zoho_can_send_with_is_taken(behind: Behind, method: str) -> None:
    assert Client(Door(lambda *_: Receipt(1, False), behind)).open(PATH, method=method).status_code == 202
