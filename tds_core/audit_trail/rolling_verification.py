"""Rolling verification: holds the history against its seals a little at a time, in rounds, and stores what it finds.

A round begins at the first seal and ends at the head of the chain; a small history is a round each time.
"""

import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail import chain
from tds_core.audit_trail.row_digests import fix_spelling
from tds_core.audit_trail.tamper_report import VerificationReport, ViolationKind
from tds_core.audit_trail.verify import BEGIN, ChainWalk, check_rows, last_restart
from tds_core.observability import heartbeats

#: The heartbeat that carries the progress.
HEARTBEAT = "audit_verification"
#: Seals of which the numbers are read at once, and violations of which table and id are kept.
SEALS_AT_ONCE, MOST_PLACES = 50, 5

_PROGRESS = text("select detail from tds_pulses where name = :name")
_NEXT = text("select number from tds_audit_seals where number > :after order by number limit :limit")
_ENDS = text("select min(number) as first, max(number) filter (where number <= :position) as last from tds_audit_seals")
_RETIRED = text("""
select trail, max(last_id) as last_id, max(begins_at) as begins_at from tds_audit_seals where kind = 'retired'
group by trail
""")


class Violations(msgspec.Struct, kw_only=True):
    """How many violations were found, by kind, and table and id of the first of them. `at`: when, or since when."""

    count: int = 0
    kinds: dict[str, int] = {}
    places: list[str] = []
    at: datetime | None = None

    def add(self, report: VerificationReport) -> None:
        """Count those of a report; one that was named before is no other."""
        new = {f"{each.trail}:{each.id}": each.kind.value for each in report.breaks}
        new = {place: kind for place, kind in new.items() if place not in self.places}
        self.count += report.break_count - len(report.breaks) + len(new)
        self.kinds = dict(Counter(self.kinds) + Counter(new.values()))
        self.places = [*self.places, *new][:MOST_PLACES]


class VerificationProgress(msgspec.Struct, kw_only=True):
    """How far the present round is, and what it and the last one found.

    `position`: seals up to this number are verified. `round_began`, `round_ended`: violations of the present round so
    far, and of the last whole one.
    """

    position: int = 0
    present: Violations = msgspec.field(default_factory=Violations)
    last: Violations = msgspec.field(default_factory=Violations)

    @property
    def worst(self) -> Violations:
        """Those of the round that found more."""
        return max(self.present, self.last, key=lambda each: each.count)


def stored_progress(session: Session) -> VerificationProgress:
    """The stored progress; that of the beginning before the first."""
    detail = session.execute(_PROGRESS, {"name": HEARTBEAT}).scalar()
    return msgspec.convert(detail or {}, VerificationProgress)


def store_progress(session: Session, progress: VerificationProgress) -> None:
    """Store the progress, where alerts read it."""
    heartbeats.beat(session, HEARTBEAT, **msgspec.to_builtins(progress))


def whole_round(report: VerificationReport, at: datetime) -> VerificationProgress:
    """The progress after a verification of the whole history: as after a round."""
    found = Violations(at=at)
    found.add(report)
    return VerificationProgress(position=0, last=found)


def verify_next(
    session: Session, keys: Mapping[bytes, bytes], progress: VerificationProgress, *, seconds: float, at: datetime
) -> VerificationProgress:
    """Go on with the present round for about so many seconds; `session` must not have been used yet.

    `keys`: seal keys by id. `at`: now. Nothing is stored.
    """
    session.execute(BEGIN)
    fix_spelling(session)
    step = _Step(session, keys)
    position, is_whole = step.advance(step.begin(progress.position), until=time.monotonic() + seconds)
    found = progress.present if progress.position else Violations(at=at)
    if not is_whole:
        step.check_head(known=found.places)
        found.add(step.report)
        return VerificationProgress(position=position, present=found, last=progress.last)
    step.check_ends()
    found.add(step.report)
    found.at = at
    return VerificationProgress(position=0, last=found)


class _Step:
    """One step of a round, in a transaction of its own."""

    def __init__(self, session: Session, keys: Mapping[bytes, bytes]) -> None:
        self._session, self._keys = session, keys
        self.report = VerificationReport()
        self._walk = ChainWalk(session, keys, self.report, restart=last_restart(session, keys))
        self._retired: dict[str, int] | None = None

    def begin(self, position: int) -> int:
        """Begin behind `position`, or where the chain begins now. Returns the number of the seal that begins behind."""
        ends: Any = self._session.execute(_ENDS, {"position": position}).one()
        if ends.last is None:  # retention removed what was verified, or nothing was
            return 0
        self._walk.begin_after(ends.last)
        return int(ends.last)

    def advance(self, position: int, *, until: float) -> tuple[int, bool]:
        """Verify the seals after `position` until then, at least one. Returns how far, and whether that is the end."""
        while numbers := self._session.execute(_NEXT, {"after": position, "limit": SEALS_AT_ONCE}).scalars().all():
            for number in numbers:
                if time.monotonic() > until and self._walk.reached:
                    return position, False
                self._verify(number)
                position = number
        return position, True

    def _verify(self, number: int) -> None:
        """Verify a seal, and the rows it covers."""
        self._walk.follow([number])
        for _, after in self._walk.to_check:
            seal = chain.read_seal(self._session, number)
            doubts = VerificationReport()
            check_rows(self._session, seal, after, doubts, self._keys)
            if doubts.break_count and seal.last_id > (upto := self._retired_ids().get(seal.trail, 0)):
                check_rows(self._session, seal, max(after, upto), self.report, self._keys)
        self._walk.to_check.clear()

    def _retired_ids(self) -> dict[str, int]:
        """By table, the last id that was removed on purpose; asked for only when rows are missing."""
        if self._retired is None:
            self._retired = {row.trail: row.last_id for row in self._session.execute(_RETIRED)}
        return self._retired

    def check_ends(self) -> None:
        """Check the beginning and the end of the chain."""
        ends: Any = self._session.execute(_ENDS, {"position": 0}).one()
        begins = [row.begins_at for row in self._session.execute(_RETIRED)]
        self._walk.begins_at = max(filter(None, begins), default=1)
        self._walk.check_ends(ends.first or 1)

    def check_head(self, *, known: list[str]) -> None:
        """Check that the newest seal is there, so that a chain cut off shows before the round ends; once a round."""
        head = chain.read_head(self._session)
        if f"tds_audit_seals:{head.number}" in known:
            return
        if head.number and not self._session.execute(_NEXT, {"after": head.number - 1, "limit": 1}).scalar():
            self.report.add(
                ViolationKind.SEAL_MISSING, "tds_audit_seals", head.number, f"seal {head.number} is missing"
            )
