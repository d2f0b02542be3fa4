"""Rule state: decides, without a clock, from what was missed since a rule was heard whether it seems switched off."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: The subject of what is said of all events of an entity.
ALL = "all"
#: So many changes in a row without a webhook are no accident.
IN_A_ROW = 3
#: A company wants to know within this time that a rule was switched off.
SILENCE = timedelta(hours=1)


class RuleState(StrEnum):
    """How the webhooks of an entity, or of one of its events, do."""

    HEARD = "heard"  # changes are announced, or there were none
    OFF = "off"  # they were, and no longer are
    MISSING = "missing"  # they never were


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedSince:
    """The changes of an entity, or of one of its events (`subject`), that polling found since a webhook told of one.

    `told_at`: when one did, None for never. `examples`: ids of some of the records, the newest first.
    """

    source: str
    entity: str
    subject: str
    told_at: datetime | None
    missed_count: int
    first_missed_at: datetime | None = None
    last_missed_at: datetime | None = None
    examples: tuple[str, ...] = ()


def judge_rule(missed: MissedSince, now: datetime) -> RuleState:
    """The state of a rule: off, or missing, after three missed changes in a row, or an hour in which all were missed.

    One event of an entity alone is judged by the three only: deletions, say, may be too rare for an hour to tell.
    """
    is_silent = missed.told_at is None or missed.told_at <= now - SILENCE
    least = 1 if missed.subject == ALL and is_silent else IN_A_ROW
    if missed.missed_count < least:
        return RuleState.HEARD
    return RuleState.MISSING if missed.told_at is None else RuleState.OFF
