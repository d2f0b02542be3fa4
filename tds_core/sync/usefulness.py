"""Usefulness: the order in which records known only by their list rows are read whole. Open ones first, then new."""

from tds_core.sync.candidate import Candidate
from tds_models.entity import Entity

# Two weeks by days, then two years by weeks; what is older is all the same.
DAYS, WEEKS = 14, 102
OLDEST = DAYS + WEEKS
# Behind every record that changed.
NEVER_READ = 1


def rank(entity: Entity, candidate: Candidate) -> int:
    """How far behind what changed this record may wait: 1 is an open record of today, 118 a closed one of today."""
    is_closed = candidate.values.get("status") in entity.closed
    age_days = 0
    if candidate.read_at and candidate.modified_at:
        age_days = max(0, (candidate.read_at - candidate.modified_at).days)
    age = min(DAYS, age_days) + min(WEEKS, max(0, age_days - DAYS) // 7)
    return NEVER_READ + age + (OLDEST + 1 if is_closed else 0)
