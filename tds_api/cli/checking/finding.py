"""What a check of the set-up saw, and the command that mends it."""

import dataclasses

from tds_core.reading.health import State


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw; `mend` is empty when all is well."""

    check: str
    state: State
    says: str
    mend: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether there is nothing to do."""
        return self.state is State.OK


def well(check: str, says: str) -> Finding:
    """All is well."""
    return Finding(check, State.OK, says)


def doubtful(check: str, says: str, mend: str) -> Finding:
    """TDS runs, and something should be seen to."""
    return Finding(check, State.WARNING, says, mend)


def wrong(check: str, says: str, mend: str) -> Finding:
    """TDS does not work so, or not safely."""
    return Finding(check, State.CRITICAL, says, mend)


def judged(check: str, is_well: bool, says: str, mend: str) -> Finding:
    """Well or wrong."""
    return well(check, says) if is_well else wrong(check, says, mend)
