"""What was sent, and what came back."""

from dataclasses import dataclass

from tds_core.outbound.lanes import Sending


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is None when no answer came; `error` says why then, or how an answer began."""

    status: int | None
    duration_seconds: float
    error: str | None = None
    wish_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Sent:
    """An event and what came back."""

    sending: Sending
    answer: Answer
