"""A sighting: one list page as it was seen, from which its records are read one by one or side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tds_core.sources.base import Clock
from tds_core.sync.candidate import Candidate, Familiar, Provenance, Seen, transform
from tds_models.entity import Entity


@dataclass(frozen=True, slots=True)
class Sighting:
    """When and by whom records of `entity` were seen, their fingerprints by source id, and the keys that are no news.

    `read_at`: the database's clock before the page was asked for; `clock`: the source's when it answered.
    """

    entity: Entity
    read_at: datetime
    provenance: Provenance
    hashes: Mapping[str, bytes]
    familiar: Familiar
    clock: Clock | None = None

    def candidate(self, source_id: str, raw: bytes, familiar: Familiar | None = None) -> Candidate:
        """Read one record; `familiar`: other keys than the page's. Raises `InvalidRecordError`."""
        return transform(
            self.entity,
            raw,
            seen=Seen.LIST,
            read_at=self.read_at,
            list_hash=self.hashes[source_id],
            provenance=self.provenance,
            familiar=self.familiar if familiar is None else familiar,
            clock=self.clock,
        )
