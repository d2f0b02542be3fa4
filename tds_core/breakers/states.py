"""How a breaker stands, as people and programs are told."""

from dataclasses import dataclass
from datetime import UTC, datetime

from tds_core.breakers.circuit import Circuit, State


@dataclass(frozen=True, slots=True)
class BreakerState:
    """One breaker and its statistics since it was first used.

    `call_count` are the calls that were made; `success_rate`, from 0 to 1, is the successes among those whose end says
    something of the dependency. `opened_at` is when it last left the closed state. `is_shared` tells whether these are
    the figures of all processes, or of this one alone.
    """

    name: str
    state: State
    call_count: int
    success_count: int
    failure_count: int
    rejection_count: int
    change_count: int
    success_rate: float | None
    failures_in_row: int
    opened_at: datetime | None
    next_probe_at: datetime | None
    changed_at: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_error: str | None
    reset_by: str | None
    is_shared: bool


def state_of(name: str, circuit: Circuit, *, is_shared: bool, untold: int) -> BreakerState:
    """What is told of `circuit`; `untold` are rejections it has not heard of yet."""
    judged = circuit.success_count + circuit.failure_count
    return BreakerState(
        name=name,
        state=circuit.state,
        call_count=judged + circuit.neither_count,
        success_count=circuit.success_count,
        failure_count=circuit.failure_count,
        rejection_count=circuit.rejection_count + untold,
        change_count=circuit.change_count,
        success_rate=round(circuit.success_count / judged, 4) if judged else None,
        failures_in_row=circuit.failures_in_row,
        opened_at=moment(circuit.opened_at_ms),
        next_probe_at=None if circuit.state is State.CLOSED else moment(circuit.wake_at_ms),
        changed_at=moment(circuit.changed_at_ms),
        last_success_at=moment(circuit.last_success_at_ms),
        last_failure_at=moment(circuit.last_failure_at_ms),
        last_error=circuit.last_error or None,
        reset_by=circuit.reset_by or None,
        is_shared=is_shared,
    )


def moment(at_ms: int) -> datetime | None:
    """A time of a circuit; None for never."""
    return datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms else None
