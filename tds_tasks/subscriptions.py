"""The task `tds.outbound.deliver`: sends what subscriptions are owed, many events at once, until nothing is due.

Rows in a thread, requests in an event loop: while some are settled, others come back. No transaction is open while a
receiver is waited for.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import structlog

from tds_core.observability import metrics
from tds_core.subscriptions import delivery_queue
from tds_core.subscriptions.delivery_queue import PreparedDelivery, prepare
from tds_core.subscriptions.fan_out import Watermark, fan_out
from tds_core.subscriptions.http_sender import DeliveryResult, HttpSender, ReceiverResponse
from tds_core.subscriptions.result_recording import record_results
from tds_core.subscriptions.retry_policy import is_away, is_success
from tds_core.subscriptions.signed_events import signed_headers
from tds_core.subscriptions.ssrf_guard import configured_policy
from tds_core.subscriptions.subscriptions import vault_of
from tds_tasks import worker_nudges
from tds_tasks.app import app
from tds_tasks.context import scope, settings
from tds_tasks.work_batch_commit import OUTAGES
from tds_tasks.worker.lease_holder_liveness import worker_name

log = structlog.get_logger(__name__)

# New events are taken in hand for so long; then those under way come back, and other tasks get the slot.
BUDGET_SECONDS = 10.0
# A request takes its time-out at most; so much longer its lease lasts, for settling.
LEASE_MARGIN_SECONDS = 30.0
# Slow receivers keep nobody from looking what is due for the others.
LOOK_SECONDS = 0.5
GATHER_SECONDS = 0.01
MOST_IN_HAND = 500

Flying = set[asyncio.Task[DeliveryResult | None]]

#: How far this process knows the history to be complete.
_watermark = Watermark()


@app.task(name="tds.outbound.deliver")
def deliver() -> str:
    """Send what is due."""
    return f"{deliver_due()} requests to receivers"


def deliver_due(*, budget_seconds: float = BUDGET_SECONDS) -> int:
    """Send what is due until nothing is, or the time is up. Returns how many requests were made."""
    try:
        count, left = asyncio.run(_deliver(time.monotonic() + budget_seconds))
    except OUTAGES as error:  # what was sent and not written down is sent again when its lease ends
        log.warning("deliveries_interrupted", error=type(error).__name__)
        return 0
    if left:
        with suppress(*worker_nudges.FAILURES):  # the dispatcher looks too
            worker_nudges.nudge_outbound()
    return count


async def _deliver(until: float) -> tuple[int, bool]:
    chosen, count = settings(), 0
    flying: Flying = set()
    back: list[DeliveryResult] = []
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "outbound-rows") as rows:
        async with HttpSender(configured_policy(chosen), timeout_seconds=chosen.outbound_timeout_seconds) as sender:
            while True:
                room = MOST_IN_HAND - len(flying) if time.monotonic() < until else 0
                deliveries, moved = await loop.run_in_executor(rows, _turn, back, room)
                flying |= {loop.create_task(_send(sender, delivery)) for delivery in deliveries}
                count += len(deliveries)
                if not flying and not moved:
                    return count, time.monotonic() >= until
                if not flying:
                    back = []
                    continue
                done, flying = await _come_back(flying, LOOK_SECONDS if room > 0 else None)
                back = [sent for task in done if (sent := task.result())]


async def _come_back(flying: Flying, patience_seconds: float | None) -> tuple[Flying, Flying]:
    """Those that came back, and those still under way: a moment after the first, so that many are settled together."""
    first, rest = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED, timeout=patience_seconds)
    if not first or not rest:
        return first, rest
    more, rest = await asyncio.wait(rest, timeout=GATHER_SECONDS)
    return first | more, rest


def _turn(back: Sequence[DeliveryResult], room: int) -> tuple[list[PreparedDelivery], bool]:
    """Settle what came back, look for what is new and take up to `room` events of each subscription in hand.

    Returns them, and whether there may be more new history to look at.
    """
    chosen = settings()
    claimed_at = time.monotonic()
    with scope() as session:
        if back:
            record_results(session, back, disable_seconds=chosen.outbound_disable_seconds)
        if room <= 0:
            return [], False
        moved = fan_out(session, _watermark)
        timeout = chosen.outbound_timeout_seconds
        claimed = delivery_queue.claim(
            session, worker=worker_name(), limit=room, at_once=chosen.outbound_at_once,
            lease_seconds=timeout + LEASE_MARGIN_SECONDS,
        )  # fmt: skip
        if not claimed:
            return [], moved
        receivers = delivery_queue.receivers(session, [each.subscription_id for each in claimed])
    until = claimed_at + LEASE_MARGIN_SECONDS / 2
    vault = vault_of(chosen)
    return [prepare(each, receivers[each.subscription_id], vault, until=until) for each in claimed], moved


async def _send(sender: HttpSender, prepared: PreparedDelivery) -> DeliveryResult | None:
    """Send, unless so much time went by that the lease may soon be another's: then it comes back by itself."""
    if prepared.error:
        return DeliveryResult(prepared.claimed, ReceiverResponse(None, 0.0, prepared.error))
    if time.monotonic() > prepared.until:
        return None
    now = int(time.time())
    headers = signed_headers(prepared.secrets, message_id=prepared.message_id, at=now, body=prepared.body)
    response = await sender.send(prepared.url, headers=headers, body=prepared.body)
    result = "delivered" if is_success(response.status) else "away" if is_away(response.status) else "refused"
    metrics.outbound_seconds.labels(result).observe(response.duration_seconds)
    return DeliveryResult(prepared.claimed, response)
