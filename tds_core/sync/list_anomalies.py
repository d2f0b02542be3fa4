"""List anomalies: rows without an id, a list not in the requested order, a list that does not end.

None of them stops a pass; each becomes a finding.
"""

from collections import Counter

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.quality import findings
from tds_core.sources.base import ListPage
from tds_core.sync.position import MOST_WALKS
from tds_core.sync.runs import DISORDER, RunLease
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Increment, Order
from tds_models.findings import Severity
from tds_models.runs import Mode

UNREADABLE, UNSURE = "unreadable_row", "list_not_whole"


def _keep(session: Session, run: RunLease, kind: str, severity: Severity, subject: str, **detail: object) -> None:
    source = ENTITIES[run.entity].stream.source
    findings.report(
        session, kind=kind, severity=severity, source=source, entity=run.entity, subject=subject,
        detail={"run_id": run.id, **detail},
    )  # fmt: skip


def note_strange(session: Session, run: RunLease, page: ListPage, *, is_again: bool) -> None:
    """Keep findings of the rows of `page` without a usable id, and count them once."""
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
    """Resolve findings of rows without a usable id that `run`, which read the whole list, did not meet."""
    params = {"kind": UNREADABLE, "source": ENTITIES[run.entity].stream.source, "entity": run.entity}
    session.execute(_RESOLVE_UNSEEN, {**params, "run": run.id})


def note_disorder(session: Session, run: RunLease, page: ListPage) -> None:
    """Keep a finding that the list is not in the order of changes; while open, the list is read by page numbers."""
    stream = ENTITIES[run.entity].stream
    severity = Severity.WARNING if stream.order is Order.DOCUMENTED else Severity.NOTE
    reason = page.disorder or "the rows were not in it"
    _keep(session, run, DISORDER, severity, stream.path, asked_for=stream.modified_key, reason=reason)


def needs_another_walk(session: Session, run: RunLease, *, is_missing: bool) -> bool:
    """Whether a list that was read by page numbers may have hidden a row while others moved.

    Records the mirror has are read when a list leaves them out; new ones are known from the list alone. So a list of
    several pages is read again once it showed a new record, left one out (`is_missing`) or showed a row twice.
    """
    position = run.position
    if position.sorted or position.until or position.endless or position.is_settled:
        return False
    if position.page_count - position.walks_behind < 2 or position.walk >= MOST_WALKS:
        return False
    return position.walk > 1 or is_missing or position.row_count > position.seen_count or _met_new(session, run)


def _met_new(session: Session, run: RunLease) -> bool:
    """Whether the list showed records that the mirror did not have when the run began."""
    entity = ENTITIES[run.entity]
    statement = text(f"""
        select exists (
            select from tds_sync_run_pages p cross join unnest(p.source_ids) as listed(source_id)
            where p.run_id = :run and not exists (
                select from {entity.table.fullname} m join tds_sync_runs r on r.id = :run
                where m.source = :source and m.source_id = listed.source_id and m.created_at < r.started_at))""")
    return bool(session.execute(statement, {"run": run.id, "source": entity.stream.source}).scalar())


def note_doubt(session: Session, run: RunLease) -> str:
    """The reason why the list of `run` may not have been read whole, kept as a finding; "" resolves an earlier one."""
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


def end_reason(run: RunLease, doubt: str) -> str:
    """The run's end reason: how its list was read."""
    position, way = run.position, ""
    if not position.sorted and ENTITIES[run.entity].stream.increment is Increment.FILTER:
        way = " by page numbers, for it does not come in the order of changes"
    if not position.sorted and position.walk > 1:
        way += f" {position.walk} times, until nothing new came up" if not doubt else f" {position.walk} times"
    end = "was read" if position.endless else "was read to its end"
    return f"the list {end}{way}" + (f"; {doubt}" if doubt else "")
