"""Retry policy of deliveries: decides from a receiver's response whether an event is delivered, retried or given up."""

from enum import StrEnum

from tds_core.backoff import RetryDecision, backoff_seconds

#: Seconds from one attempt to the next, as Standard Webhooks proposes; ten attempts in three days.
SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
GONE, TOO_MANY = 410, 429
#: So many failures in a row are the receiver's, not the events': from then on it is asked with one event at a time.
DOUBTS = 3
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 5.0, 300.0
LONGEST_WISH_SECONDS = 86_400.0


class DeliveryOutcome(StrEnum):
    """Where an event goes after an attempt."""

    DELIVERED = "delivered"
    RETRY = "failing"
    GIVEN_UP = "given_up"


def decide_delivery(
    status: int | None, *, attempts: int, took_others: bool, wish_seconds: float = 0.0, jitter: float = 0.5
) -> RetryDecision[DeliveryOutcome]:
    """What becomes of an event whose attempt number `attempts` was answered with `status` (None: not at all).

    It is given up after the last attempt of the schedule, and only if the receiver `took_others` since it first failed:
    of one that is away nothing is given up. `wish_seconds`: how long the receiver asked to be left alone. `jitter`:
    from 0 to 1, spreads the attempts.
    """
    if is_success(status):
        return RetryDecision(DeliveryOutcome.DELIVERED)
    if attempts > len(SCHEDULE) and took_others:
        return RetryDecision(DeliveryOutcome.GIVEN_UP)
    delay = SCHEDULE[min(attempts, len(SCHEDULE)) - 1] * (0.9 + 0.2 * jitter)
    return RetryDecision(DeliveryOutcome.RETRY, max(delay, min(wish_seconds, LONGEST_WISH_SECONDS)))


def is_success(status: int | None) -> bool:
    """Whether the receiver took the event."""
    return status is not None and 200 <= status < 300


def is_away(status: int | None) -> bool:
    """Whether an answer speaks of the receiver, not of the event it was given."""
    return status is None or status >= 500 or status == TOO_MANY


def rest_seconds(rest_count: int, *, wish_seconds: float = 0.0, jitter: float = 0.5) -> float:
    """How long a receiver that fails is left alone, the `rest_count`-th time in a row, beginning with 1."""
    wait = backoff_seconds(rest_count - 1, first=FIRST_REST_SECONDS, longest=LONGEST_REST_SECONDS, factor=4.0)
    wait *= 0.9 + 0.2 * jitter
    return max(wait, min(wish_seconds, LONGEST_WISH_SECONDS))
