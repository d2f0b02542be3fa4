"""Causes: why a record differs, as far as the record's own story in the tables tells it."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.comparison import DifferenceKind
from tds_models.entities.declaration import Entity


class Cause(StrEnum):
    """Why the two sides parted."""

    EDITED_HERE = "edited_here"  # the row was changed in the database, not by TDS
    DELETED_HERE = "deleted_here"  # the row was taken away in the database, not by TDS
    HELD = "held"  # a run that would bring it waits for a decision
    DEAD_LETTER = "dead_letter"  # TDS gave up on the record
    WEBHOOK_REFUSED = "webhook_refused"
    WEBHOOK_WITHOUT_EFFECT = "webhook_without_effect"  # an event of this change ended, and the row is older
    WEBHOOK_LOST = "webhook_lost"  # nothing told TDS of the change
    UNANNOUNCED = "unannounced"  # the source changed the record and left its time of change as it was


@dataclass(frozen=True, slots=True)
class Finding:
    """A confirmed difference to be explained. `row`: the mirror's, None without one, deleted or not."""

    source_id: str
    kind: DifferenceKind
    there_modified_at: datetime | None
    row: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A cause in words, and since when the two sides differ, as far as is known."""

    cause: Cause
    text: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Story:
    """What the tables tell of a record that differs."""

    proven_at: datetime | None
    letter_id: int | None
    dead_at: datetime | None
    error: str | None
    held_run_id: int | None
    held_at: datetime | None
    event_id: int | None
    event_verdict: str | None
    event_at: datetime | None
    rejected_at: datetime | None
    rejected_for: str | None
    last_operation: str | None


_STORIES = text("""
select asked.id as source_id, p.proven_at, d.id as letter_id, d.dead_at, d.error, h.run_id as held_run_id, h.held_at,
       e.id as event_id, e.verdict as event_verdict, e.received_at as event_at, r.received_at as rejected_at,
       r.detail as rejected_for,
       (select operation from tds_audit_trail a where a.entity = :entity and a.source_id = asked.id
            and a.source = :source order by version desc limit 1) as last_operation
from unnest(cast(:ids as text[])) as asked(id)
left join tds_record_proofs p on p.source = :source and p.entity = :entity and p.source_id = asked.id
left join lateral (select id, dead_at, error from tds_dead_letter_queue l where l.source = :source
    and l.entity = :entity and l.source_id = asked.id and resolved_at is null order by id desc limit 1) d on true
left join lateral (select id, verdict, received_at from tds_inbox_events i where i.entity = :entity
    and i.source_id = asked.id and i.source = :source order by id desc limit 1) e on true
left join lateral (select received_at, detail from tds_rejected_deliveries x where x.entity = :entity
    and x.source_id = asked.id order by id desc limit 1) r on true
left join lateral (select run_id, held_at from tds_run_holds o join tds_sync_runs s on s.id = o.run_id
    where s.source = :source and s.entity = :entity and o.decided_at is null order by o.id desc limit 1) h on true
""")


def explain(
    session: Session, entity: Entity, findings: Sequence[Finding], *, changed_here: Set[str]
) -> dict[str, Explanation]:
    """By source id, why each record differs. `changed_here`: rows that are not what their history comes to."""
    if not findings:
        return {}
    params = {
        "source": entity.stream.source,
        "entity": entity.name,
        "ids": [each.source_id for each in findings],
    }
    rows = session.execute(_STORIES, params).mappings()
    stories = {row["source_id"]: Story(**{k: v for k, v in row.items() if k != "source_id"}) for row in rows}
    return {
        each.source_id: cause_of(each, stories[each.source_id], is_changed_here=each.source_id in changed_here)
        for each in findings
    }


def cause_of(finding: Finding, story: Story, *, is_changed_here: bool) -> Explanation:
    """The likeliest cause, by what is known for certain first."""
    if is_changed_here:
        return _changed_here(finding, story)
    if story.letter_id is not None:
        words = f"TDS gave it up (dead letter {story.letter_id}): {(story.error or '')[:200]}"
        return Explanation(Cause.DEAD_LETTER, words, story.dead_at)
    if story.held_run_id is not None:
        return Explanation(Cause.HELD, f"run {story.held_run_id} waits for a decision", story.held_at)
    return _by_webhooks(finding, story)


def _changed_here(finding: Finding, story: Story) -> Explanation:
    if finding.row is None and story.last_operation != "deleted":
        return Explanation(Cause.DELETED_HERE, "the row was deleted here, not by TDS", story.proven_at)
    words = "changed here, not by TDS"
    if story.proven_at:
        words += f"; it was last equal at {story.proven_at:%Y-%m-%d %H:%M} UTC"
    return Explanation(Cause.EDITED_HERE, words, story.proven_at)


def _by_webhooks(finding: Finding, story: Story) -> Explanation:
    """What the webhooks of the record say of a change that did not reach the mirror."""
    theirs = finding.there_modified_at
    ours = finding.row["source_modified_at"] if finding.row else None
    since = theirs if theirs is not None and (ours is None or theirs > ours) else None
    came_after = _is_after(story.event_at, since)
    if story.rejected_at and _is_after(story.rejected_at, since) and not came_after:
        return Explanation(Cause.WEBHOOK_REFUSED, f"its webhook was refused: {(story.rejected_for or '')[:200]}", since)
    if story.event_id is not None and came_after:
        words = f"event {story.event_id} of it ended as {story.event_verdict}, and the row is still older"
        return Explanation(Cause.WEBHOOK_WITHOUT_EFFECT, words, since)
    if finding.kind is DifferenceKind.MISSING_THERE:
        return Explanation(Cause.WEBHOOK_LOST, "the source deleted it, and no webhook told of it", None)
    if since is None and finding.kind is DifferenceKind.DIFFERENT:
        words = "the source changed it and left its time of change as it was, or TDS was shown an older state"
        return Explanation(Cause.UNANNOUNCED, words, None)
    when = f" at {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
    return Explanation(Cause.WEBHOOK_LOST, f"the source changed it{when}, and no webhook told of it", since)


def _is_after(moment: datetime | None, since: datetime | None) -> bool:
    return moment is not None and since is not None and moment >= since
