"""One delivery on its way: what is sent for which change, and when."""

import time
from dataclasses import dataclass, field

from zoho_sandbox.webhooks.rules import Rule, Target


@dataclass(slots=True, eq=False)
class Delivery:
    """A body owed to a rule's address. `kind` says whether it tells the truth about its change."""

    sequence: int
    rule: Rule
    target: Target
    wrapper: str
    record_id: str
    kind: str
    detail: bytes
    due_at: float = field(default_factory=time.monotonic)
    attempt: int = 1
    # A delivery put again (released early, or retried) leaves its older place in the queue without effect.
    ticket: int = 0
    is_taken: bool = False
    lane: int = 0

    @property
    def place(self) -> tuple[str, int]:
        """What a later delivery must share to overtake this one: the record, and which of several rules sends it."""
        return self.record_id, self.lane
