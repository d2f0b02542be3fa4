"""Reports: what the comparison of an entity comes to: counts, score, grades of its fields, buckets and roots."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal
from typing import Any, NotRequired, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.comparison import progress, suspect_store
from tds_core.comparison.comparisons import ComparisonPart
from tds_core.comparison.content_hashes import HASH_BYTES, BucketSums, compared_names, reads_details
from tds_core.quality import findings
from tds_core.sync.runs import RunLease
from tds_models.comparison import Agreement, DifferenceKind, DifferenceState
from tds_models.entities.declaration import Entity
from tds_models.findings import Severity

#: The kind of finding that says that an entity differs from its source.
DIFFERS = "comparison_differs"
#: What a record takes from the score that is missing on one side, that differs, and of which nothing is proven.
WEIGHTS = {"missing": Decimal(1), "different": Decimal("0.5"), "suspect": Decimal("0.25")}


@dataclass(slots=True)
class Tally:
    """The records of an entity by how they compare, and what both sides come to."""

    here: BucketSums
    there: BucketSums
    equal_count: int = 0
    different_count: int = 0
    missing_here_count: int = 0
    missing_there_count: int = 0
    suspect_count: int = 0
    sample_faults: int = 0
    undecided_sample_count: int = 0
    doubts: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All records of both sides."""
        return (
            self.equal_count + self.different_count + self.missing_here_count + self.missing_there_count
            + self.suspect_count
        )  # fmt: skip

    @property
    def difference_count(self) -> int:
        """The records that certainly differ."""
        return self.different_count + self.missing_here_count + self.missing_there_count

    @property
    def agreement(self) -> Agreement:
        """What is proven of the entity."""
        if self.difference_count:
            return Agreement.DIFFERS
        return Agreement.UNPROVEN if self.doubts or self.suspect_count else Agreement.EQUAL

    @property
    def match_percent(self) -> Decimal:
        """The share of all records that are equal, rounded down: 100 only if all are."""
        return percent(Decimal(self.equal_count), self.total, places="0.0001")

    @property
    def score(self) -> Decimal:
        """0 to 100, rounded down; see docs/proof.md."""
        lost = (
            WEIGHTS["missing"] * (self.missing_here_count + self.missing_there_count)
            + WEIGHTS["different"] * self.different_count
            + WEIGHTS["suspect"] * self.suspect_count
        )
        return percent(self.total - lost, self.total, places="0.01")


def percent(part: Decimal, whole: int, *, places: str) -> Decimal:
    """`part` of `whole` in percent, rounded down; 100 of nothing."""
    share = Decimal(100) * part / whole if whole else Decimal(100)
    return share.quantize(Decimal(places), rounding=ROUND_DOWN)


_DIFFERENCES = text("""
select source_id, kind, state, hash_here, hash_there, is_sampled
from tds_comparison_differences
where comparison_id = :comparison and entity = :entity and state <> 'repaired'
""").execution_options(yield_per=10_000)
# As arrays: a row of each proof takes longer to receive than to add up.
_PROOFS = text("""
select array_agg(source_id) as source_ids, string_agg(content_hash, '') as content_hashes from (
    select source_id, content_hash from tds_record_proofs
    where source = :source and entity = :entity and (cast(:after as text) is null or source_id > :after)
    order by source_id limit 10000) as page
""")


def tally(session: Session, part: ComparisonPart, listed_ids: Set[str]) -> Tally:
    """Count the records of an entity, of which its list showed `listed_ids`, from what its comparison stored."""
    here, there, equal = (BucketSums.of_size(len(listed_ids)) for _ in range(3))
    result, differing = Tally(here, there), set()
    params = {"comparison": part.comparison_id, "entity": part.entity.name}
    for row in session.execute(_DIFFERENCES, params).mappings():
        differing.add(row["source_id"])
        _count(result, dict(row))
    equal.add(
        (source_id, content)
        for source_id, content in _proofs(session, part.entity)
        if source_id in listed_ids and source_id not in differing
    )
    result.equal_count = sum(equal.counts)
    here.merge(equal)
    there.merge(equal)
    return result


def _proofs(session: Session, entity: Entity) -> Iterator[tuple[str, bytes]]:
    """The content hash of every record of an entity that was ever proven equal."""
    params: dict[str, Any] = {"source": entity.stream.source, "entity": entity.name, "after": None}
    while (page := session.execute(_PROOFS, params).one()).source_ids:
        hashes = bytes(page.content_hashes)
        for number, source_id in enumerate(page.source_ids):
            yield source_id, hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES]
        params["after"] = page.source_ids[-1]


def _count(result: Tally, row: Mapping[str, Any]) -> None:
    if row["state"] == DifferenceState.SUSPECT:
        result.suspect_count += 1
        result.undecided_sample_count += row["is_sampled"]
        return
    result.different_count += row["kind"] == DifferenceKind.DIFFERENT
    result.missing_here_count += row["kind"] == DifferenceKind.MISSING_HERE
    result.missing_there_count += row["kind"] == DifferenceKind.MISSING_THERE
    result.sample_faults += row["is_sampled"]
    for side, content in ((result.here, row["hash_here"]), (result.there, row["hash_there"])):
        if content is not None:
            side.add([(row["source_id"], content)])


class Sample(TypedDict):
    """The random sample: its size, how many of it differed, and the largest share of all that may differ unseen.

    `at_most`: at 95 %, by the rule of three; None where one of the sample differed, 0 where it was all there is.
    """

    size: int
    faults: int
    at_most: float | None


class Grades(TypedDict):
    """The compared fields by how they are proven: by the list, by details, or inferred from the time of change."""

    by_list: list[str]
    by_detail: list[str]
    inferred: list[str]
    sample: NotRequired[Sample]


def grades(entity: Entity, *, listed_count: int, sample_count: int, sample_faults: int) -> Grades:
    """How each field is proven, where the list showed `listed_count` records and `sample_count` were read in detail."""
    unlisted = sorted({*(each.name for each in entity.fields), *entity.line_tables} - set(compared_names(entity)))
    names = list(compared_names(entity))
    result: Grades = {
        "by_list": [] if reads_details(entity) else names,
        "by_detail": names if reads_details(entity) else [],
        "inferred": unlisted,
    }
    if sample_count:
        bound = 0.0 if sample_count == listed_count else round(min(1.0, 3 / sample_count), 6)
        bound_if_sound = None if sample_faults else bound
        result["sample"] = {"size": sample_count, "faults": sample_faults, "at_most": bound_if_sound}
    return result


_FINISH = text("""
update tds_comparison_reports p
set state = 'completed', agreement = :agreement, reason = :reason, here_count = :here, there_count = :there,
    equal_count = :equal, different_count = :different, missing_here_count = :missing_here,
    missing_there_count = :missing_there, suspect_count = :suspects, detail_count = :details,
    match_percent = :match_percent, score = :score, grades = cast(:grades as jsonb), root_here = :root_here,
    root_there = :root_there, buckets = cast(:buckets as jsonb), api_call_count = r.api_call_count,
    began_at = r.started_at, ended_at = clock_timestamp()
from tds_sync_runs r
where p.comparison_id = :comparison and p.entity = :entity and r.id = p.run_id
""")


def finish_part(session: Session, run: RunLease, part: ComparisonPart) -> Tally:
    """Store the report of an entity, and open or resolve its finding."""
    listed_ids = progress.listed_ids(session, run, part)
    result = tally(session, part, listed_ids)
    result.doubts = list(run.report.get("doubts", ()))
    if progress.has_lost_pages(session, part):
        result.doubts.append("pages of the list that were read are gone: retention removed them")
    is_whole = not result.doubts
    if result.suspect_count:
        result.doubts.append(f"{result.suspect_count:,} records could not be decided: {_undecided(session, part)}")
    found = grades(
        part.entity,
        listed_count=len(listed_ids),
        sample_count=min(part.sample_size, len(listed_ids)) - result.undecided_sample_count,
        sample_faults=result.sample_faults,
    )
    session.execute(_FINISH, {**_figures(part, result, found), "details": run.report.get("details", 0)})
    if is_whole:
        suspect_store.note_repaired(session, part.comparison_id, part.entity)
    _note(session, part, result)
    return result


def _figures(part: ComparisonPart, result: Tally, found: Grades) -> dict[str, Any]:
    """The columns of a report."""
    return {
        "comparison": part.comparison_id,
        "entity": part.entity.name,
        "agreement": result.agreement,
        "reason": "; ".join(result.doubts) or None,
        "here": result.total - result.missing_here_count,
        "there": result.total - result.missing_there_count,
        "equal": result.equal_count,
        "different": result.different_count,
        "missing_here": result.missing_here_count,
        "missing_there": result.missing_there_count,
        "suspects": result.suspect_count,
        "match_percent": result.match_percent,
        "score": result.score,
        "grades": msgspec.json.encode(found).decode(),
        "root_here": result.here.root(part.entity),
        "root_there": result.there.root(part.entity),
        "buckets": msgspec.json.encode(result.there.as_json()).decode(),
    }


_REASONS = text("""
select suspected_for, count(*) as n from tds_comparison_differences
where comparison_id = :comparison and entity = :entity and state = 'suspect'
group by 1 order by 2 desc limit 3
""")


def _undecided(session: Session, part: ComparisonPart) -> str:
    rows = session.execute(_REASONS, {"comparison": part.comparison_id, "entity": part.entity.name}).all()
    return "; ".join(f"{row.suspected_for} ({row.n:,})" for row in rows)


def _note(session: Session, part: ComparisonPart, result: Tally) -> None:
    stream = part.entity.stream
    if result.agreement is Agreement.DIFFERS:
        detail = {
            "comparison_id": part.comparison_id,
            "different": result.different_count,
            "missing_here": result.missing_here_count,
            "missing_there": result.missing_there_count,
        }
        findings.report(
            session, kind=DIFFERS, severity=Severity.ERROR, source=stream.source, entity=part.entity.name,
            subject=part.entity.name, detail=detail,
        )  # fmt: skip
    elif result.agreement is Agreement.EQUAL:
        findings.close(session, kind=DIFFERS, source=stream.source, entity=part.entity.name, by="a comparison")
