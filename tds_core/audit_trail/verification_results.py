"""Verification results: what the last verifications of the history found, stored where alerts read it."""

from collections import Counter
from datetime import datetime
from typing import TypedDict, cast

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.audit_trail.tamper_report import VerificationReport
from tds_core.observability import heartbeats

#: The heartbeats that carry the results: of the whole history, and of what was sealed lately.
WHOLE, RECENT = "audit_verification", "audit_verification_recent"
#: So many violations are named.
MOST_NAMED = 5

_STORED = text("""
select name, beat_at as verified_at, (detail ->> 'break_count')::bigint as break_count, detail -> 'kinds' as kinds,
    detail -> 'places' as places
from tds_pulses where name = any(:names) order by name
""")


class VerificationResult(TypedDict):
    """What one verification found. `kinds`: violations by kind; `places`: table and id of the first of them."""

    name: str
    verified_at: datetime
    break_count: int
    kinds: dict[str, int]
    places: list[str]


def store_result(session: Session, report: VerificationReport, *, is_whole: bool) -> None:
    """Store what a verification found: of the whole history, or of what was sealed lately."""
    kinds = Counter(violation.kind.value for violation in report.breaks)
    places = [f"{violation.trail}:{violation.id}" for violation in report.breaks[:MOST_NAMED]]
    heartbeats.beat(
        session, WHOLE if is_whole else RECENT, break_count=report.break_count, kinds=dict(kinds), places=places,
        seal_count=report.seal_count, row_count=report.row_count,
    )  # fmt: skip


def stored_results(session: Session) -> list[VerificationResult]:
    """What the last verifications found, that of the whole history first; nothing before the first."""
    rows = session.execute(_STORED, {"names": [WHOLE, RECENT]}).mappings()
    return cast("list[VerificationResult]", [dict(row) for row in rows])
