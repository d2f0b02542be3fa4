"""Progress of a comparison: what a run has read so far, committed with its position; it resumes after a crash."""

import random
from collections.abc import Mapping, Sequence, Set
from itertools import chain
from typing import Any, Protocol

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison import suspect_store
from tds_core.comparison.comparisons import ComparisonPart
from tds_core.comparison.list_comparison import ListComparison, Suspect
from tds_core.comparison.record_proofs import store_proofs
from tds_core.sources.base import ListPage
from tds_core.sync import deletions, list_anomalies
from tds_core.sync.change_limits import ChangeLimits, too_many_absences
from tds_core.sync.page_commit import ADVANCE_RUN, EXTEND_LEASE, SET_POSITION, encode_position, execute_fenced
from tds_core.sync.runs import RunLease
from tds_models.comparison import DifferenceKind

#: So many records that a list left out, which are more than may be missing, are read all the same: do they exist?
PROBE_COUNT = 20
#: The size of a list row's fingerprint.
HASH_BYTES = 16


def is_listed(run: RunLease) -> bool:
    """Whether the list was read to its end, so that suspects are what is left."""
    return bool(run.report.get("listed"))


class ReadPage(Protocol):
    """A page of the list with the fingerprints of its rows, and what reading it took: seconds and API calls."""

    @property
    def page(self) -> ListPage:
        """The page."""
        ...

    @property
    def list_hashes(self) -> Sequence[bytes]:
        """The fingerprint of each of its rows."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...

    @property
    def call_count(self) -> int:
        """How many calls it cost."""
        ...


def commit_pages(
    session: Session,
    run: RunLease,
    part: ComparisonPart,
    pages: Sequence[ReadPage],
    result: ListComparison,
    *,
    lease_seconds: float,
) -> None:
    """Store what pages proved, and move the run behind them. Raises LostLeaseError."""
    _store(session, part, result)
    position, run_pages, ours = run.position, [], set(result.source_ids)
    run.report["unreadable"] = run.report.get("unreadable", 0) + sum(len(each.page.strange) for each in pages)
    for number, each in enumerate(pages, run.page_count + 1):
        position = position.after(each.page)
        # Rows of another kind are none of this entity's.
        hashes = [
            (row.source_id, list_hash)
            for row, list_hash in zip(each.page.rows, each.list_hashes, strict=True)
            if row.source_id in ours or row.source_id in run.seen_ids
        ]
        run_pages.append(
            {
                "page": number,
                "source_ids": [source_id for source_id, _ in hashes],
                "list_hashes": b"".join(list_hash for _, list_hash in hashes).hex(),
                "fetch_seconds": each.seconds,
            }
        )
    seen_before = len(run.seen_ids)
    run.seen_ids |= ours
    fetched_count = len(run.seen_ids) - seen_before
    params = {
        **_lease(run, lease_seconds),
        "position": encode_position(position),
        "fetched": fetched_count,
        "skipped": len(result.source_ids) - len(result.proofs) - len(result.suspects),
        "calls": sum(each.call_count for each in pages),
        "outcomes": msgspec.json.encode(_count(run, result)).decode(),
        "page": run.page_count + len(pages),
        "changed": 0,
        "report": msgspec.json.encode(run.report).decode(),
        "pages": msgspec.json.encode(run_pages).decode(),
        "page_count": len(pages),
    }
    execute_fenced(session, ADVANCE_RUN, params)
    run.position, run.attempts, run.failures = position, 0, 0
    run.page_count += len(pages)
    run.fetched_count += fetched_count


def _count(run: RunLease, result: ListComparison) -> Mapping[str, int]:
    run.outcomes.update({"suspect": len(result.suspects)})
    run.outcomes.update({"equal": len(result.source_ids) - len(result.suspects)})
    return run.outcomes


def _store(session: Session, part: ComparisonPart, result: ListComparison) -> None:
    store_proofs(session, part.entity, sorted(result.proofs, key=lambda proof: proof.source_id))
    suspect_store.add(session, part.comparison_id, part.entity, result.suspects)


_FOLLOWED_PAGES = text("""
select page, source_ids, list_hashes from tds_sync_run_pages
where run_id = :run and page > :after order by page limit :limit
""")
# As many records at once as about five pages of a list.
FOLLOWED_PAGES = 5


def followed_rows(session: Session, run: RunLease, part: ComparisonPart) -> tuple[dict[str, bytes], int] | None:
    """The next rows that the followed pass listed, by id their fingerprints, and the page to go on behind.

    None at the end.
    """
    params = {"run": part.list_run_id, "after": run.report.get("page", 0), "limit": FOLLOWED_PAGES}
    pages = session.execute(_FOLLOWED_PAGES, params).all()
    if not pages:
        return None
    rows: dict[str, bytes] = {}
    for page in pages:
        hashes = bytes(page.list_hashes or b"")
        for number, source_id in enumerate(page.source_ids):
            if source_id not in run.seen_ids:
                rows[source_id] = hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES]
    return rows, int(pages[-1].page)


_FOUND_BEFORE = text("""
select source_id from tds_comparison_differences
where comparison_id = :comparison and entity = :entity and source_id = any(:ids) and state <> 'repaired'
""")


def differed_before(session: Session, part: ComparisonPart, source_ids: Sequence[str]) -> set[str]:
    """Those of `source_ids` that the followed comparison did not find equal."""
    params = {"comparison": part.followed_comparison_id, "entity": part.entity.name, "ids": list(source_ids)}
    return set(session.execute(_FOUND_BEFORE, params).scalars())


_SET_PROGRESS = text("""
update tds_sync_runs set report = cast(:report as jsonb), leased_until = now() + make_interval(secs => :lease),
    fetched_count = :fetched, api_call_count = api_call_count + :calls, outcomes = cast(:outcomes as jsonb),
    attempts = 0, failures = 0, failed_at = null, end_reason = null
where id = :id and lease_token = :token and cancel_requested_at is null returning id
""")


def _set_progress(session: Session, run: RunLease, lease_seconds: float, call_count: int = 0) -> None:
    params = {
        **_lease(run, lease_seconds),
        "report": msgspec.json.encode(run.report).decode(),
        "outcomes": msgspec.json.encode(run.outcomes).decode(),
        "fetched": run.fetched_count,
        "calls": call_count,
    }
    execute_fenced(session, _SET_PROGRESS, params)
    run.attempts, run.failures = 0, 0


def commit_followed(
    session: Session, run: RunLease, part: ComparisonPart, result: ListComparison, page: int, *, lease_seconds: float
) -> None:
    """Store what the pages of a followed pass prove, and move the run behind page `page`. Raises LostLeaseError."""
    _store(session, part, result)
    run.report["page"] = page
    run.seen_ids.update(result.source_ids)
    run.fetched_count += len(result.source_ids)
    _count(run, result)
    _set_progress(session, run, lease_seconds)


def commit_decisions(
    session: Session, run: RunLease, *, detail_count: int, call_count: int, lease_seconds: float
) -> None:
    """Count details that were read. Raises LostLeaseError: then nothing that was decided with them is committed."""
    run.report["details"] = run.report.get("details", 0) + detail_count
    _set_progress(session, run, lease_seconds, call_count)


def extend_lease(session: Session, run: RunLease, lease_seconds: float) -> None:
    """Keep the run. Raises LostLeaseError."""
    execute_fenced(session, EXTEND_LEASE, _lease(run, lease_seconds))


def _lease(run: RunLease, lease_seconds: float) -> dict[str, Any]:
    return {"id": run.id, "token": run.token, "lease": lease_seconds}


def walk_again(session: Session, run: RunLease, part: ComparisonPart) -> bool:
    """Whether a list that was read by page numbers has to be read once more; the run then begins again."""
    if part.follows or run.position.sorted:
        return False
    missing = deletions.absent(session, part.entity, run)
    if not list_anomalies.needs_another_walk(session, run, is_missing=bool(missing)):
        return False
    run.position = run.position.next_walk()
    params = {"id": run.id, "token": run.token, "position": encode_position(run.position)}
    execute_fenced(session, SET_POSITION, params)
    return True


class _List:
    """The run whose pages show the list."""

    def __init__(self, run: RunLease, part: ComparisonPart) -> None:
        self.id, self.correlation_id = part.list_run_id, run.correlation_id


def finish_listing(
    session: Session, run: RunLease, part: ComparisonPart, *, limits: ChangeLimits, lease_seconds: float
) -> None:
    """Add what only the whole list shows: records it left out, and the random sample. Raises LostLeaseError.

    A list that left out more than may be missing is not believed: then a few of them are read, and nothing is proven.
    """
    doubts = list(part.list_doubts)
    if not part.follows and (doubt := list_anomalies.note_doubt(session, run)):
        doubts.append(doubt)
    if unreadable := run.report.get("unreadable"):
        doubts.append(f"{unreadable:,} rows of the list have no usable id")
    absent = deletions.absent(session, part.entity, _List(run, part))
    if doubted := _doubt_absences(session, run, part, len(absent), limits):
        doubts.append(f"the list is not believed: {doubted}")
        absent = random.Random(part.seed).sample(absent, min(PROBE_COUNT, len(absent)))  # noqa: S311  (not a secret)
    found = [
        Suspect(source_id=each, kind=DifferenceKind.MISSING_THERE, reason="the list does not show it")
        for each in absent
    ]
    found += [
        Suspect(source_id=each, kind=DifferenceKind.DIFFERENT, reason="it is in the random sample", is_sampled=True)
        for each in _sample(session, run, part)
    ]
    suspect_store.add(session, part.comparison_id, part.entity, found)
    run.report |= {"listed": True, "doubts": doubts}
    _set_progress(session, run, lease_seconds)


def _doubt_absences(
    session: Session, run: RunLease, part: ComparisonPart, absent_count: int, limits: ChangeLimits
) -> str | None:
    """Why a list that left out so many records is not believed."""
    if not absent_count:
        return None
    living, listed = deletions.live_count(session, part.entity), len(listed_ids(session, run, part))
    return too_many_absences(absent_count, living=living, listed=listed, approved=0, limits=limits)


_LISTED = text("select source_ids from tds_sync_run_pages where run_id = :run")


def listed_ids(session: Session, run: RunLease, part: ComparisonPart) -> Set[str]:
    """The records the list showed."""
    if not part.follows:
        return run.seen_ids
    return set(chain.from_iterable(session.execute(_LISTED, {"run": part.list_run_id}).scalars()))


_LOST_PAGES = text("""
select page_count > (select count(*) from tds_sync_run_pages p where p.run_id = r.id)
from tds_sync_runs r where r.id = :run
""")


def has_lost_pages(session: Session, part: ComparisonPart) -> bool:
    """Whether pages of the list are no longer stored, so that nobody knows all it showed."""
    return bool(session.execute(_LOST_PAGES, {"run": part.list_run_id}).scalar())


def _sample(session: Session, run: RunLease, part: ComparisonPart) -> list[str]:
    """The records to be read in detail, chosen at random by the comparison's seed."""
    if not part.sample_size:
        return []
    ids = sorted(listed_ids(session, run, part))
    return random.Random(part.seed).sample(ids, min(part.sample_size, len(ids)))  # noqa: S311  (not a secret)
