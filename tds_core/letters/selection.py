"""Which dead letters are meant: by id, by group, by entity, class or age."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, exists, func

from tds_core.letters.errors import NothingChosenError
from tds_models.letters import DeadLetter, Revival

BEING_RETRIED = exists().where(Revival.letter_id == DeadLetter.id, Revival.ended_at.is_(None))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Selection:
    """Open letters that all of this is true of; what is not said bounds nothing. `everything`: all that are open."""

    ids: Sequence[int] = ()
    entity: str | None = None
    error_class: str | None = None
    fingerprint: str | None = None
    older_than_seconds: float | None = None
    everything: bool = False

    def said(self) -> dict[str, Any]:
        """What was asked for, as it is kept."""
        given = dataclasses.asdict(self).items()
        return {name: value for name, value in given if value or (value == 0 and value is not False)}

    def conditions(self) -> list[ColumnElement[bool]]:
        """What is true of the letters that are meant: open, and not being retried. Raises NothingChosenError."""
        if not self.said():
            raise NothingChosenError(
                "Say which letters: ids, a fingerprint, an entity, an error class, an age; or everything."
            )
        asked: list[ColumnElement[bool]] = [DeadLetter.resolved_at.is_(None), ~BEING_RETRIED]
        if self.ids:
            asked.append(DeadLetter.id.in_([each for each in self.ids if 0 < each < 2**63]))
        for column, wanted in (
            (DeadLetter.entity, self.entity),
            (DeadLetter.error_class, self.error_class),
            (DeadLetter.fingerprint, self.fingerprint),
        ):
            if wanted is not None:
                asked.append(column == wanted)
        if self.older_than_seconds is not None:
            age = func.make_interval(0, 0, 0, 0, 0, 0, self.older_than_seconds)
            asked.append(DeadLetter.last_dead_at < func.now() - age)
        return asked
