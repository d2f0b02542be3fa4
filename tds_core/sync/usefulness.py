"""Usefulness: the order in which records known only by their list rows are read whole. Open ones first, then new."""

from datetime import datetime

from tds_models.entity import Entity

# Two weeks by days, then two years by weeks; what is older is all the same.
DAYS, WEEKS = 14, 102
OLDEST = DAYS + WEEKS
# Behind every record that changed.
NEVER_READ = 1


def rank(entity: Entity, *, status: str | None, modified_at: datetime | None, read_at: datetime | None) -> int:
    """How far behind what changed a record may wait: 1 is an open record of today, 118 a closed one of today."""
    is_closed = status in entity.closed
    age_days = max(0, (read_at - modified_at).days) if read_at and modified_at else 0
    age = min(DAYS, age_days) + min(WEEKS, max(0, age_days - DAYS) // 7)
    return NEVER_READ + age + (OLDEST + 1 if is_closed else 0)
