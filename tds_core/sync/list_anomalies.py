"""Lists that are not what they should be: rows without an id, an order that is not obeyed, ends that do not come.

None of it stops a pass; each is a finding, and what a pass cannot vouch for it does not claim.
"""

from collections import Counter

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.sources.base import ListPage
from tds_core.sync.progress import MOST_WALKS
from tds_core.sync.runs import DISORDER, RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.base import Increment, Order
from tds_models.quality import Severity
from tds_models.runs import Mode

UNREADABLE, UNSURE = "unreadable_row", "list_not_whole"


def _keep(session: Session, run: RunLease, kind: str, severity: Severity, subject: str, **detail: object) -> None:
    source = ENTITIES[run.entity].stream.source
    findings.report(
        session, kind=kind, severity=severity, source=source, entity=run.entity, subject=subject,
        detail={"run_id": run.id, **detail},
    )  # fmt: skip


def note_strange(session: Session, run: RunLease, page: ListPage, *, is_again: bool) -> None:
    """Tell of the rows of `page` that have no usable id and so can be nobody's; of another walk, they are counted."""
    for reason, count in sorted(Counter(page.strange).items()):
        _keep(session, run, UNREADABLE, Severity.ERROR, reason, row_count=count)
    if page.strange and not is_again and run.mode != Mode.DRY_RUN:
        run.outcomes["unreadable"] += len(page.strange)


_RESOLVE_UNSEEN = text("""
update tds_findings set resolved_at = now(), resolved_by = 'tds'
where kind = :kind and source = :source and entity = :entity and resolved_at is null
  and last_seen_at < (select started_at from tds_sync_runs where id = :run)
""")


def resolve_unseen(session: Session, run: RunLease) -> None:
    """Close what was told of rows without a usable id, where `run` read the whole list and met none of the kind."""
    params = {"kind": UNREADABLE, "source": ENTITIES[run.entity].stream.source, "entity": run.entity}
    session.execute(_RESOLVE_UNSEEN, {**params, "run": run.id})


def note_disorder(session: Session, run: RunLease, page: ListPage) -> None:
    """Remember that the list does not come in the order of changes: while this is open it is read by page numbers."""
    stream = ENTITIES[run.entity].stream
    severity = Severity.WARNING if stream.order is Order.DOCUMENTED else Severity.NOTE
    reason = page.disorder or "the rows were not in it"
    _keep(session, run, DISORDER, severity, stream.path, asked_for=stream.modified_key, reason=reason)


def needs_another_walk(session: Session, run: RunLease, *, is_missing: bool) -> bool:
    """Whether a list that was read by page numbers may have hidden a row while others moved.

    What the mirror has had for long is asked for when a list leaves it out; what is new is known to nobody else. So a
    list of several pages is walked through again once it showed anything new, left anything out (`is_missing`) or
    showed a row twice.
    """
    position = run.position
    if position.sorted or position.until or position.endless or position.is_settled:
        return False
    if position.page_count - position.walks_behind < 2 or position.walk >= MOST_WALKS:
        return False
    return position.walk > 1 or is_missing or position.row_count > position.seen_count or _met_new(session, run)


def _met_new(session: Session, run: RunLease) -> bool:
    """Whether the list showed what the mirror did not have when the run began."""
    entity = ENTITIES[run.entity]
    statement = text(f"""
        select exists (
            select from tds_sync_run_pages p cross join unnest(p.source_ids) as listed(source_id)
            where p.run_id = :run and not exists (
                select from {entity.table.fullname} m join tds_sync_runs r on r.id = :run
                where m.source = :source and m.source_id = listed.source_id and m.created_at < r.started_at))""")
    return bool(session.execute(statement, {"run": run.id, "source": entity.stream.source}).scalar())


def note_doubt(session: Session, run: RunLease) -> str:
    """Tell why nobody can say that the list of `run` was seen whole; an earlier doubt ends with a pass without one."""
    position = run.position
    reason = ""
    if position.endless:
        reason = f"it promises more, but the last {position.barren_count} pages showed nothing that was not seen before"
    elif position.unsettled:
        second = f"the second {position.unsettled:%Y-%m-%d %H:%M:%S} UTC" if position.since else "what has no time"
        reason = f"{second} was walked through {MOST_WALKS} times and its rows still moved; it is looked at again"
    elif not position.sorted and position.walk >= MOST_WALKS and not position.is_settled:
        reason = f"it was walked through {MOST_WALKS} times and its rows still moved"
    path = ENTITIES[run.entity].stream.path
    if reason:
        _keep(session, run, UNSURE, Severity.WARNING, path, reason=reason)
    elif run.mode != Mode.DRY_RUN:
        source = ENTITIES[run.entity].stream.source
        findings.close(session, kind=UNSURE, source=source, entity=run.entity, by="a pass that ended well")
    return reason


def end_reason(run: RunLease, unsure: str) -> str:
    """How the list was read, for people who look at the run."""
    position, way = run.position, ""
    if not position.sorted and ENTITIES[run.entity].stream.increment is Increment.FILTER:
        way = " by page numbers, for it does not come in the order of changes"
    if not position.sorted and position.walk > 1:
        way += f" {position.walk} times, until nothing new came up" if not unsure else f" {position.walk} times"
    end = "was read" if position.endless else "was read to its end"
    return f"the list {end}{way}" + (f"; {unsure}" if unsure else "")
