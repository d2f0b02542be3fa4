"""Where every entity stands, and when the quota lets what is left of it be read."""

from sqlalchemy.orm import Session

from tds_core.reading import mirror
from tds_core.reading.details import progress
from tds_core.reading.paging import Row
from tds_core.sources.zoho.quota.governor import Governor
from tds_models.entities import ENTITIES


def standings(session: Session, governor: Governor) -> list[Row]:
    """Each entity's rows, newest change, details to come and when they end, cursor and last run."""
    found = [mirror.standing(session, entity) for entity in ENTITIES.values()]
    ahead = progress({row["entity"]: row["details_left"] or 0 for row in found}, governor)
    ends = {name: each["ends_at"] for each in ahead for name in each["left"]}
    return [{**row, "details_end_at": ends.get(row["entity"])} for row in found]
