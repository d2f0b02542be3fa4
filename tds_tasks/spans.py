"""What a batch does, as spans: one in the trace of a webhook it works for, and an end in every webhook's own."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from celery import current_task

from tds_core import tracing
from tds_core.sync.pending import Event
from tds_core.sync.queue import Claim


def traced(claim: Claim, events: Mapping[str, Sequence[Event]]) -> AbstractContextManager[None]:
    """A span around a batch; it is linked to the traces of all that asked for it."""
    if not tracing.is_on():
        return tracing.span("")
    threads = [event.correlation_id for each in events.values() for event in reversed(each)]
    threads += [item.correlation_id for item in claim.items]
    first, *also = list(dict.fromkeys(filter(None, threads))) or [""]
    facts = {"entity": claim.entity, "item_count": len(claim.items), "batch": str(claim.token)}
    task = current_task.request.id if current_task else None
    return tracing.span("sync batch", thread=first, also=also, **facts, **({"celery.task_id": task} if task else {}))


def told(claim: Claim, end: Mapping[str, Any]) -> None:
    """How one item ended, in the trace of the event that was applied."""
    if tracing.is_on():
        facts = {"entity": claim.entity, "source_id": end["source_id"], "outcome": end["outcome"]}
        with tracing.span("item settled", thread=end["correlation_id"], **facts):
            pass
