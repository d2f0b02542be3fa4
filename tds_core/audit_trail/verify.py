"""Verification: follows the hash chain from its beginning to its head, then compares every sealed row with its seal.

The digests of a seal are compared all at once, and row by row only where they differ.
"""

import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.orm import Session

from tds_core.audit_trail import chain
from tds_core.audit_trail.chain import BEGINNING, ERASED, RESTARTED, RETIRED, ROWS, Seal
from tds_core.audit_trail.erasure_notes import expected_digests, noted_digests
from tds_core.audit_trail.row_digests import SEALED_TABLES, SealedTable, digests_of, fix_spelling
from tds_core.audit_trail.tamper_report import Erasure, Restart, Unsealed, VerificationReport, ViolationKind
from tds_models.db import set_statement_timeout

# The time limit of one statement.
SECONDS = 3600
# The history as it stood at one moment; nothing is written.
BEGIN = text("set transaction isolation level repeatable read read only")
_TRUSTED = text("""
select max(last_id) from tds_audit_seals where trail = :trail and number <= :number and number > :restart
""")
_RESTARTS = text("select number from tds_audit_seals where kind = 'restarted' order by number desc")


def verify_history(
    session: Session,
    keys: Mapping[bytes, bytes],
    *,
    since: datetime | None = None,
    progress: Callable[[int, int], None] | None = None,
    most: int = 100,
) -> VerificationReport:
    """Verify the whole chain, and the rows sealed at or after `since`; `session` must not have been used yet.

    `keys`: seal keys by id. `progress(done, total)` is called after each seal. `most`: how many violations are kept.
    """
    session.execute(BEGIN)
    set_statement_timeout(session, SECONDS)
    fix_spelling(session)
    report = VerificationReport(most=most)
    numbers = chain.seal_numbers(session)
    report.seal_count = len(numbers)
    walk = ChainWalk(session, keys, report, restart=last_restart(session, keys))
    walk.follow(numbers)
    walk.check_ends(numbers[0] if numbers else 1)
    for done, (number, after) in enumerate(walk.to_check, 1):
        seal = chain.read_seal(session, number)
        if seal.last_id > report.retired.get(seal.trail, 0) and (since is None or seal.sealed_at >= since):
            check_rows(session, seal, max(after, report.retired.get(seal.trail, 0)), report, keys)
        if progress:
            progress(done, len(walk.to_check))
    for table in SEALED_TABLES.values():
        _check_retired(session, table, report.retired.get(table.name, 0), report)
        report.unsealed.append(_unsealed(session, table, walk.reached.get(table.name, 0)))
    return report


def has_seal(session: Session, number: int, digest: str) -> bool:
    """Whether the chain has a seal of this number and digest, or begins behind it because its rows were retired."""
    numbers = chain.seal_numbers(session)
    if numbers and number < numbers[0]:
        return True
    return number in numbers and hmac.compare_digest(chain.read_seal(session, number).digest.hex(), digest.lower())


def last_restart(session: Session, keys: Mapping[bytes, bytes]) -> int:
    """The number of the newest unchanged seal of a known key with which the chain was begun anew; 0 without one."""
    for number in session.execute(_RESTARTS).scalars().all():
        seal = chain.read_seal(session, number)
        secret = keys.get(seal.key_id)
        if secret is not None and hmac.compare_digest(seal.digest_with(secret), seal.digest):
            return seal.number
    return 0


class ChainWalk:
    """A pass along the chain, or a part of it: which seals follow their predecessor and are unchanged."""

    def __init__(
        self, session: Session, keys: Mapping[bytes, bytes], report: VerificationReport, *, restart: int = 0
    ) -> None:
        """`restart`: from `last_restart`. Of seals before it keys may be lost, and rows are not held against them."""
        self._session, self._keys, self._report, self._restart = session, keys, report, restart
        self._last: Seal | None = None
        #: By table, the last id up to which the seals before vouch for its rows.
        self._trusted: dict[str, int] = {}
        #: The number the chain begins with, as the newest retirement says.
        self.begins_at = 1
        #: The numbers of seals whose rows are to be checked, with the id behind which their rows begin.
        self.to_check: list[tuple[int, int]] = []
        self.reached: dict[str, int] = {}

    def begin_after(self, number: int) -> None:
        """Begin in the middle: behind this seal, which was checked before."""
        self._last = chain.read_seal(self._session, number)
        for trail in SEALED_TABLES:
            params = {"trail": trail, "number": number, "restart": self._restart if number >= self._restart else 0}
            last_id = self._session.execute(_TRUSTED, params).scalar()
            if last_id is not None:
                self._trusted[trail] = last_id
            elif 0 < self._restart <= number:
                self._trusted[trail] = 0

    def follow(self, numbers: Sequence[int]) -> None:
        """Check every seal against the one before it."""
        trusted = self._trusted
        for number in numbers:
            seal = chain.read_seal(self._session, number)
            # What was sealed in a gap is unknown: rows behind it have no known beginning.
            if not self._follows(seal):
                trusted.clear()
            if self._is_unchanged(seal):
                self._accept(seal)
            else:
                trusted.clear()
            self.reached[seal.trail] = max(seal.last_id, self.reached.get(seal.trail, 0))
            self._last = seal

    def _accept(self, seal: Seal) -> None:
        trusted = self._trusted
        if seal.kind == RESTARTED:
            self._report.restarts.append(Restart(seal.number, seal.sealed_at, seal.note or ""))
        if seal.number == self._restart:  # from here on the rows are covered again, from the first
            trusted |= dict.fromkeys(SEALED_TABLES, 0)
            self.reached.clear()
        if seal.kind == ERASED:
            erasure = Erasure(seal.number, seal.sealed_at, seal.trail, seal.row_count, seal.note or "")
            self._report.erasures.append(erasure)
        if seal.kind == RETIRED:
            self._report.retired[seal.trail] = seal.last_id
            self.begins_at = seal.begins_at or 1
        elif seal.kind == ROWS and seal.trail in SEALED_TABLES and seal.number > self._restart:
            begins = 0 if seal.number == 1 else seal.first_id - 1
            self.to_check.append((seal.number, trusted.get(seal.trail, begins)))
            trusted[seal.trail] = seal.last_id

    def _is_unchanged(self, seal: Seal) -> bool:
        """Whether the seal has the digest of its content, and its table still has its columns."""
        secret = self._keys.get(seal.key_id)
        if secret is None and seal.number < self._restart:
            self._report.unproven_seal_count += 1
            return seal.kind == RETIRED  # as it says: what it removed is in no later seal
        if secret is None:
            self._add(ViolationKind.KEY, seal.number, f"seal {seal.number} was made with an unknown key")
            return False
        if not hmac.compare_digest(seal.digest_with(secret), seal.digest):
            says = f"seal {seal.number} was edited, or put in another's place"
            self._add(ViolationKind.SEAL_EDITED, seal.number, says)
            return False
        gone = set(seal.columns) - set(SEALED_TABLES[seal.trail].columns) if seal.trail in SEALED_TABLES else set()
        if gone:
            says = f"seal {seal.number} vouches for columns {seal.trail} has no more: {', '.join(sorted(gone))}"
            self._add(ViolationKind.COLUMNS, seal.number, says)
        return not gone

    def _follows(self, seal: Seal) -> bool:
        """Whether the seal was made behind the one that now precedes it."""
        if self._last is None:
            return seal.number > 1 or seal.previous == BEGINNING
        self._missing(self._last.number + 1, seal.number)
        if self._last.number + 1 == seal.number and seal.previous != self._last.digest:
            says = f"seal {seal.number} was made behind another seal {self._last.number} than stands there"
            self._add(ViolationKind.CHAIN, seal.number, says)
            return False
        return self._last.number + 1 == seal.number

    def check_ends(self, first: int) -> None:
        """Check that the chain, whose first seal is `first`, begins where retention ended, and ends at its head."""
        head = chain.read_head(self._session)
        self._report.head_number, self._report.head_digest = head.number, head.digest.hex()
        last = self._last.number if self._last else 0
        self._missing(self.begins_at, first)
        self._missing(last + 1, head.number + 1)
        for number in range(head.number + 1, last + 1):
            self._add(ViolationKind.SEAL_ADDED, number, f"seal {number} is behind the end of the chain")
        if self._last and last == head.number and self._last.digest != head.digest:
            self._add(ViolationKind.CHAIN, last, f"the chain ended with another seal {last}")

    def _missing(self, first: int, end: int) -> None:
        for number in range(first, end):
            self._add(ViolationKind.SEAL_MISSING, number, f"seal {number} is missing")

    def _add(self, kind: ViolationKind, number: int, says: str) -> None:
        self._report.add(kind, "tds_audit_seals", number, says)


def _unsealed(session: Session, table: SealedTable, reached: int) -> Unsealed:
    statement = text(f"select count(*), min({table.written_at}) from {table.name} where id > :reached")
    count, oldest_at = session.execute(statement, {"reached": reached}).one()
    return Unsealed(table.name, count, oldest_at)


def check_rows(
    session: Session, seal: Seal, after: int, report: VerificationReport, keys: Mapping[bytes, bytes]
) -> None:
    """Compare the rows with ids behind `after`, up to the seal's last one, with the digests of `seal`.

    Of an erased row the digest counts that a later seal says it has since. `keys`: seal keys by id.
    """
    table = SEALED_TABLES[seal.trail]
    digests = digests_of(table, seal.columns)
    statement = text(f"""
        select count(*) as row_count, cast(range_agg(int8range(id, id, '[]')) as text) as ids,
               string_agg(digest, '' order by id) as digests
        from ({digests} where t.id > :after and t.id <= :upto) r""")
    actual = session.execute(statement, {"after": after, "upto": seal.last_id}).mappings().one()
    report.row_count += seal.row_count
    noted = noted_digests(session, seal, keys)
    report.erased_row_count += len(noted)
    expected = b"".join((expected_digests(seal) | noted).values()) if noted else seal.digests
    if actual["ids"] != seal.ids or bytes(actual["digests"] or b"") != expected:
        _find_violations(session, table, seal, after, report, noted)


def _find_violations(  # noqa: PLR0917 (what one comparison needs)
    session: Session, table: SealedTable, seal: Seal, after: int, report: VerificationReport, noted: dict[int, bytes]
) -> None:
    expected = expected_digests(seal) | noted
    present = _rows(session, table, seal, after)
    for row_id in sorted(expected.keys() | present.keys()):
        row = present.get(row_id)
        if row is None:
            says = f"row {row_id} of {table.name} was deleted; it was there when seal {seal.number} was made"
            report.add(ViolationKind.DELETED, table.name, row_id, says)
        elif row_id not in expected:
            says = f"{_label(table, row)} was inserted; it was not there when seal {seal.number} was made"
            report.add(ViolationKind.INSERTED, table.name, row_id, says)
        elif bytes(row["digest"]) != expected[row_id]:
            says = f"{_label(table, row)} was edited after seal {seal.number} was made"
            report.add(ViolationKind.EDITED, table.name, row_id, says)


def _check_retired(session: Session, table: SealedTable, upto: int, report: VerificationReport) -> None:
    """Report the rows at or before the last retired id: they were inserted afterwards."""
    labels = ", ".join(f"t.{name}" for name in table.label)
    statement = text(f"select t.id, {labels} from {table.name} t where t.id <= :upto order by t.id")
    for row in session.execute(statement, {"upto": upto}).mappings():
        says = f"{_label(table, row)} was inserted; all rows up to {upto} were retired"
        report.add(ViolationKind.INSERTED, table.name, row["id"], says)


def _rows(session: Session, table: SealedTable, seal: Seal, after: int) -> dict[int, RowMapping]:
    labels = "".join(f", t.{name}" for name in table.label)
    statement = text(f"""
        select d.id, d.digest{labels} from ({digests_of(table, seal.columns)} where t.id > :after and t.id <= :upto) d
        join {table.name} t on t.id = d.id""")
    rows = session.execute(statement, {"after": after, "upto": seal.last_id}).mappings()
    return {row["id"]: row for row in rows}


def _label(table: SealedTable, row: RowMapping) -> str:
    return f"row {row['id']} of {table.name} ({', '.join(f'{name} {row[name]}' for name in table.label)})"
