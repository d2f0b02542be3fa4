"""A check: one promise of TDS, and the question to the database whose every answer is a case in which it was broken."""

from dataclasses import dataclass
from enum import StrEnum

#: Whether old history was retired: then what is left of it begins in the middle of records' lives.
RETIRED = "exists (select from tds_audit_seals where kind = 'retired' and trail = 'tds_audit_trail')"

#: Whether a time of change was not yet to come when it was written down: one that was is no evidence of any order.
SAYS_WHEN = "source_modified_at <= recorded_at + interval '1 hour'"
#: The trail with how often a record had been read by force, whatever its time said, up to each version.
BY_FORCE = """(select *, count(*) filter (where origin = 'forced') over (
    partition by source, entity, source_id order by version) as forced_count from tds_audit_trail)"""


class Promise(StrEnum):
    """What a broken promise means for whoever relies on the mirror."""

    LOST = "lost"  # something accepted is neither done nor owed
    DOUBLED = "doubled"  # something was done twice
    BACKWARDS = "backwards"  # an older state came after a newer one
    DIFFERENT = "different"  # a row is not what its history says


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question about the whole history.

    `broken` selects entity, source_id and found (what is wrong, in words); `counted` counts what was looked at. `look`
    says where to go on; `{entity}` and `{source_id}` are filled in.
    """

    name: str
    promise: Promise
    says: str
    broken: str
    counted: str
    look: str = "tds explain {entity} {source_id}"
