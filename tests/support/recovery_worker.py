"""A worker in a process of its own, to be hurt: does what is due until it is ended; some records kill their reader.

With TDS_TEST_REAL_PACE it waits as long after a failure as TDS does; else all waits are thirty times as short.
"""

import os
import signal
import time
from typing import Any

from tds_core.queue import retry_policy
from tds_core.sources.zoho import client, responses
from tds_tasks import work_batches, worker_nudges
from tds_tasks.work_batches import drain

HURRY = 30
WORKED_ON = ("invoice", "sales_order", "bill", "credit_note", "customer_payment", "product")


def hurry() -> None:
    """Shorten every wait that follows a failure; those of the breakers are settings."""
    retry_policy.BASE_SECONDS /= HURRY
    retry_policy.CAP_SECONDS /= HURRY
    retry_policy.LEAST_SNOOZE_SECONDS /= HURRY
    retry_policy.SPREAD_SECONDS /= HURRY
    responses.MINUTE_BLOCK_SECONDS /= HURRY
    responses.CONCURRENCY_WAIT_SECONDS /= HURRY
    work_batches.RELEASE_SECONDS /= HURRY


def poison(source_ids: set[str]) -> None:
    """Whoever makes something of one of these dies at once."""
    whole = work_batches.interpret_fetch

    def interpret(entity: Any, items: Any, *given: Any, **named: Any) -> Any:
        if source_ids & {item.source_id for item in items}:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(entity, items, *given, **named)

    work_batches.interpret_fetch = interpret


def main() -> None:
    """Work until ended."""
    if "TDS_TEST_REAL_PACE" not in os.environ:
        hurry()
    poison(set(os.environ["TDS_TEST_POISON"].split()))
    work_batches.SINGLE_READS = 5
    client.PAGE_SIZE = 10
    worker_nudges._send = lambda *_: None  # type: ignore[assignment]
    while True:
        for entity in WORKED_ON:
            drain(entity)
        time.sleep(0.05)


if __name__ == "__main__":
    main()
