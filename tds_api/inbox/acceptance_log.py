"""The acceptance log: one line a group commit says which webhooks became which events."""

from collections.abc import Sequence

import structlog

from tds_core.inbox.receive import Delivery, Receipt

log = structlog.get_logger(__name__)


def log_accepted(stored: Sequence[tuple[Delivery, Receipt]]) -> None:
    """Log what was committed together; ids stand in one order, so that a webhook leads to its event."""
    log.info(
        "webhooks_accepted",
        count=len(stored),
        duplicate_count=sum(receipt.duplicate for _, receipt in stored),
        event_ids=[receipt.event_id for _, receipt in stored],
        correlation_ids=[delivery.correlation_id for delivery, _ in stored],
        entities=sorted({delivery.entity for delivery, _ in stored}),
    )
