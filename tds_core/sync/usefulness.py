"""Usefulness: the order in which records known only by their list rows are read whole. Open ones first, then new."""

from tds_core.sync.candidate import Candidate
from tds_models.entity import Entity

# Ages of 0, 1, 2-3, 4-7, ... days; what is older than most of a year is all the same.
OLDEST = 9
# Behind every record that changed.
NEVER_READ = 1


def rank(entity: Entity, candidate: Candidate) -> int:
    """How far behind what changed this record may wait: 1 is an open record of today, 20 a closed one of last year."""
    is_closed = candidate.values.get("status") in entity.closed
    age_days = 0
    if candidate.read_at and candidate.modified_at:
        age_days = max(0, (candidate.read_at - candidate.modified_at).days)
    return NEVER_READ + min(OLDEST, age_days.bit_length()) + (OLDEST + 1 if is_closed else 0)
