"""Proving: follows the chain from its beginning to its head, then holds every sealed row against its seal."""

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit import chain
from tds_core.audit import chain as heads
from tds_core.audit.chain import BEGINNING, RETIRED, ROWS, Seal
from tds_core.audit.row_digests import (
    TRAILS,
    Trail,
    Unsealed,
    VerificationReport,
    ViolationKind,
    check_retired,
    check_rows,
    fix_spelling,
)
from tds_models.db import allow

Told = Callable[[int, int], None]

# For one statement of it, at most.
SECONDS = 3600
# As it stood at one moment, and nothing is written.
_BEGIN = text("set transaction isolation level repeatable read read only")


def verify_history(
    session: Session,
    keys: Mapping[bytes, bytes],
    *,
    since: datetime | None = None,
    told: Told | None = None,
    most: int = 100,
) -> VerificationReport:
    """Verify the whole chain, and the rows sealed at or after `since`; `session` must not have been used yet.

    `keys`: what is needed to read seals, by id. `told(done, total)` hears of progress in seals. At most so many breaks
    are spelled out.
    """
    session.execute(_BEGIN)
    allow(session, SECONDS)
    fix_spelling(session)
    proof = VerificationReport(most=most)
    numbers = chain.numbers(session)
    proof.seal_count = len(numbers)
    walk = _Walk(session, keys, proof)
    walk.follow(numbers)
    walk.look_at_ends(numbers)
    for done, (number, after) in enumerate(walk.to_look_at, 1):
        seal = chain.read(session, number)
        if seal.last_id > proof.retired.get(seal.trail, 0) and (since is None or seal.sealed_at >= since):
            check_rows(session, seal, max(after, proof.retired.get(seal.trail, 0)), proof)
        if told:
            told(done, len(walk.to_look_at))
    for trail in TRAILS.values():
        check_retired(session, trail, proof.retired.get(trail.name, 0), proof)
        proof.unsealed.append(_unsealed(session, trail, walk.reached.get(trail.name, 0)))
    return proof


class _Walk:
    """The way along the chain: what the seals said, and which of them can be believed."""

    def __init__(self, session: Session, keys: Mapping[bytes, bytes], proof: VerificationReport) -> None:
        self._session, self._keys, self._proof = session, keys, proof
        self._last: Seal | None = None
        self._begins_at = 1
        #: Seals whose rows are to be looked at, with the id behind which theirs begin.
        self.to_look_at: list[tuple[int, int]] = []
        self.reached: dict[str, int] = {}

    def follow(self, numbers: list[int]) -> None:
        """Go from seal to seal."""
        trusted: dict[str, int] = {}
        for number in numbers:
            seal = chain.read(self._session, number)
            # What else was sealed behind a gap, nobody knows.
            if not self._follows(seal):
                trusted.clear()
            if self._is_sound(seal):
                self._believe(seal, trusted)
            else:
                trusted.clear()
            self.reached[seal.trail] = max(seal.last_id, self.reached.get(seal.trail, 0))
            self._last = seal

    def _believe(self, seal: Seal, trusted: dict[str, int]) -> None:
        if seal.kind == RETIRED:
            self._proof.retired[seal.trail] = seal.last_id
            self._begins_at = seal.begins_at or 1
        elif seal.kind == ROWS and seal.trail in TRAILS:
            begins = 0 if seal.number == 1 else seal.first_id - 1
            self.to_look_at.append((seal.number, trusted.get(seal.trail, begins)))
            trusted[seal.trail] = seal.last_id

    def _is_sound(self, seal: Seal) -> bool:
        """Whether the seal is as it was made."""
        secret = self._keys.get(seal.key_id)
        if secret is None:
            self._broke(ViolationKind.KEY, seal.number, f"seal {seal.number} was made with a key nobody gave")
            return False
        if not hmac.compare_digest(seal.digest_with(secret), seal.digest):
            says = f"seal {seal.number} was edited, or put in another's place"
            self._broke(ViolationKind.SEAL_EDITED, seal.number, says)
            return False
        gone = set(seal.columns) - set(TRAILS[seal.trail].columns) if seal.trail in TRAILS else set()
        if gone:
            says = f"seal {seal.number} vouches for columns {seal.trail} has no more: {', '.join(sorted(gone))}"
            self._broke(ViolationKind.COLUMNS, seal.number, says)
        return not gone

    def _follows(self, seal: Seal) -> bool:
        """Whether the seal stands behind the one it was made behind."""
        if self._last is None:
            return seal.number > 1 or seal.previous == BEGINNING
        self._missing(self._last.number + 1, seal.number)
        if self._last.number + 1 == seal.number and seal.previous != self._last.digest:
            says = f"seal {seal.number} was made behind another seal {self._last.number} than stands there"
            self._broke(ViolationKind.CHAIN, seal.number, says)
            return False
        return self._last.number + 1 == seal.number

    def look_at_ends(self, numbers: list[int]) -> None:
        """Whether the chain begins where it was retired to, and ends at its head."""
        head = heads.read_head(self._session)
        self._proof.head_number, self._proof.head_digest = head.number, head.digest.hex()
        last = self._last.number if self._last else 0
        self._missing(self._begins_at, numbers[0] if numbers else 1)
        self._missing(last + 1, head.number + 1)
        for number in range(head.number + 1, last + 1):
            self._broke(ViolationKind.SEAL_ADDED, number, f"seal {number} is behind the end of the chain")
        if self._last and last == head.number and self._last.digest != head.digest:
            self._broke(ViolationKind.CHAIN, last, f"the chain ended with another seal {last}")

    def _missing(self, first: int, end: int) -> None:
        for number in range(first, end):
            self._broke(ViolationKind.SEAL_MISSING, number, f"seal {number} is missing")

    def _broke(self, kind: ViolationKind, number: int, says: str) -> None:
        self._proof.broke(kind, "tds_audit_seals", number, says)


def has(session: Session, number: int, digest: str) -> bool:
    """Whether the chain has this very seal, or began behind it when what it vouched for was retired."""
    numbers = chain.numbers(session)
    if numbers and number < numbers[0]:
        return True
    return number in numbers and hmac.compare_digest(chain.read(session, number).digest.hex(), digest.lower())


def _unsealed(session: Session, trail: Trail, reached: int) -> Unsealed:
    statement = text(f"select count(*), min({trail.moment}) from {trail.name} where id > :reached")
    count, oldest_at = session.execute(statement, {"reached": reached}).one()
    return Unsealed(trail.name, count, oldest_at)
