"""A thread that posts deliveries over connections it keeps open."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPSConnection

from zoho_sandbox.webhooks.bodies import body_of, parameters_of
from zoho_sandbox.webhooks.queued_delivery import Delivery
from zoho_sandbox.webhooks.rules import Target
from zoho_sandbox.webhooks.signature import HEADER, sign

TIMEOUT_SECONDS = 15.0
USER_AGENT = "ZohoBooks"
_WRONG_SECRET = "notthesecretthatwasset"  # noqa: S105 - what a forger would sign with
# A kept connection the other side has closed meanwhile: worth one new connection, never a second delivery.
_STALE = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, HTTPException)


class Sender(threading.Thread):
    """Sends what is put to it in order of due time, one at a time. Deliveries of one record share a sender."""

    def __init__(self, settle: Callable[[Delivery, int | None, str], None], number: int) -> None:
        super().__init__(name=f"webhook-sender-{number}", daemon=True)
        self._settle = settle
        self._queue: list[tuple[float, int, int, Delivery]] = []
        self._order = itertools.count()
        self._wakeup = threading.Condition()
        self._stopping = False
        self._connections: dict[tuple[str, str], HTTPConnection] = {}

    def put(self, delivery: Delivery) -> None:
        """Owe a delivery that is not owed yet, or again after it was sent."""
        with self._wakeup:
            delivery.is_taken = False
            self._push(delivery)

    def release(self, delivery: Delivery, kind: str, due_at: float) -> None:
        """Give a delivery that is owed already another time and kind, unless it is on its way."""
        with self._wakeup:
            if not delivery.is_taken:
                delivery.kind, delivery.due_at = kind, due_at
                self._push(delivery)

    def _push(self, delivery: Delivery) -> None:
        delivery.ticket += 1
        heapq.heappush(self._queue, (delivery.due_at, next(self._order), delivery.ticket, delivery))
        self._wakeup.notify()

    def stop(self) -> None:
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify()

    def run(self) -> None:
        while (delivery := self._next()) is not None:
            status, error = self._send(delivery)
            self._settle(delivery, status, error)
        for connection in self._connections.values():
            connection.close()

    def _next(self) -> Delivery | None:
        with self._wakeup:
            while not self._stopping:
                if not self._queue:
                    self._wakeup.wait()
                    continue
                wait = self._queue[0][0] - time.monotonic()
                if wait > 0:
                    self._wakeup.wait(wait)
                    continue
                _due_at, _order, ticket, delivery = heapq.heappop(self._queue)
                if ticket == delivery.ticket:
                    delivery.is_taken = True
                    return delivery
        return None

    def _send(self, delivery: Delivery) -> tuple[int | None, str]:
        """The status answered, or what went wrong."""
        rule = delivery.rule
        target = parameters_of(rule, delivery.target, delivery.detail)
        body = body_of(rule, delivery.wrapper, delivery.detail)
        headers = {"User-Agent": USER_AGENT, **({"Content-Type": body.content_type} if body.content else {})}
        headers.update(rule.headers)
        secret = _WRONG_SECRET if delivery.kind == "forged" else rule.secret
        if rule.secret:
            raw = b"" if body.pairs else body.content
            headers[HEADER] = sign(secret, target.pairs + body.pairs, raw, ties=rule.ties)
        try:
            return self._post(rule.method, target, body.content, headers), ""
        except (OSError, HTTPException) as error:
            return None, f"{type(error).__name__}: {error}"

    def _post(self, method: str, target: Target, content: bytes, headers: dict[str, str]) -> int:
        kept = self._connections.pop((target.scheme, target.host), None)
        if kept is not None:
            try:
                return self._exchange(kept, method, target, content, headers)
            except _STALE:
                kept.close()
        kind = HTTPSConnection if target.scheme == "https" else HTTPConnection
        return self._exchange(kind(target.host, timeout=TIMEOUT_SECONDS), method, target, content, headers)

    def _exchange(
        self, connection: HTTPConnection, method: str, target: Target, content: bytes, headers: dict[str, str]
    ) -> int:
        try:
            connection.request(method, target.path, body=content, headers=headers)
            answer = connection.getresponse()
            answer.read()
        except BaseException:
            connection.close()
            raise
        if not answer.will_close:
            self._connections[target.scheme, target.host] = connection
        return answer.status
