"""Where every entity stands, and when the quota lets what is left of it be read."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from tds_core.reading import mirror
from tds_core.reading.details import progress
from tds_core.reading.paging import Row
from tds_core.sources.zoho.quota.governor import Governor
from tds_models.entities import ENTITIES


def standings(session: Session) -> list[Row]:
    """Each entity's rows, newest change, details to come, cursor and last run."""
    return [mirror.standing(session, entity) for entity in ENTITIES.values()]


def with_ends(found: Sequence[Row], governor: Governor) -> list[Row]:
    """The standings with when details end. The quota is asked for, so that no transaction should be open meanwhile."""
    ahead = progress({row["entity"]: row["details_left"] or 0 for row in found}, governor)
    ends = {name: each["ends_at"] for each in ahead for name in each["left"]}
    return [{**row, "details_end_at": ends.get(row["entity"])} for row in found]
