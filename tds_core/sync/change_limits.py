"""Change limits: how much a run may change, or find missing, before an operator has to decide."""

from dataclasses import dataclass
from enum import StrEnum

#: A listing in which so large a part of the mirror is missing is not believed, however small the mirror is.
IMPLAUSIBLE_PART = 1 / 3


class HoldReason(StrEnum):
    """What a run would do too much of."""

    CHANGE = "change"
    DELETION = "deletion"


@dataclass(frozen=True, slots=True)
class ChangeLimits:
    """How much a run may change without approval: a share of the live records in percent, or a number of records."""

    percent: int
    records: int

    def of(self, living: int) -> int:
        """How many of `living` records a run may change or find missing: the larger of the two."""
        return max(self.records, living * self.percent // 100)


def too_many_changes(changed: int, *, living: int, approved: int, limits: ChangeLimits) -> str | None:
    """Why a run with `changed` changed records is held; None when it may go on."""
    allowed = max(limits.of(living), approved)
    if changed <= allowed:
        return None
    return f"{changed:,} of {living:,} records would be changed, more than the {allowed:,} that pass unasked"


def too_many_absences(absent: int, *, living: int, listed: int, approved: int, limits: ChangeLimits) -> str | None:
    """Why a run whose complete listing left out `absent` of `living` records is held; `None`: they may be asked for.

    `listed`: how many rows the listing had.
    """
    if absent <= approved or not absent:
        return None
    missing = f"{absent:,} of {living:,} records are missing"
    if not listed:
        return f"the listing was empty: {missing}"
    if absent > limits.of(living):
        return f"{missing}, more than the {limits.of(living):,} that pass unasked"
    if absent > 1 and absent >= living * IMPLAUSIBLE_PART:
        return f"{missing}: a listing without so large a part is not believed"
    return None


def with_margin(record_count: int) -> int:
    """The number of records an approval covers: twice what the run was held for, to cover the following pages."""
    return 2 * record_count
