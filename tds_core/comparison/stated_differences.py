"""Stated differences: what a statement says of the records that differ, and whether that agrees with its counts.

Few are named one by one, so that the statement is evidence by itself. Of many there is a digest: who has their list can
prove that it is the one that was stated.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any, NotRequired, TypedDict

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_models.comparison import DifferenceKind

#: Up to so many records of an entity are named.
MOST_NAMED = 100


class StatedRecord(TypedDict):
    """A record that differs: its id, how, and in which fields, in the order of their names."""

    id: str
    kind: str
    fields: list[str]


class StatedDifferences(TypedDict):
    """The records of an entity that differ. `kinds`: how many by kind.

    `digest`: SHA-256 of the JSON of `[id, kind, fields]` of each, in the order of ids, one after another.
    `records`: left out where they are more than MOST_NAMED.
    """

    kinds: dict[str, int]
    digest: str
    records: NotRequired[list[StatedRecord]]


_CONFIRMED = text("""
select entity, source_id, kind, array(select jsonb_object_keys(
    case when jsonb_typeof(fields) = 'object' then fields else '{}' end)) as fields
from tds_comparison_differences where comparison_id = :id and state = 'confirmed'
order by entity, source_id collate "C"
""").execution_options(yield_per=10_000)


def differences_by_entity(session: Session, comparison_id: int) -> dict[str, StatedDifferences]:
    """By entity, the confirmed differences of a comparison; entities without any are left out."""
    rows = session.execute(_CONFIRMED, {"id": comparison_id})
    return {
        entity: stated({"id": row.source_id, "kind": row.kind, "fields": sorted(row.fields)} for row in of_entity)
        for entity, of_entity in groupby(rows, key=attrgetter("entity"))
    }


def stated(records: Iterable[StatedRecord]) -> StatedDifferences:
    """What a statement says of `records`, which come in the order of their ids."""
    kinds = dict.fromkeys(map(str, DifferenceKind), 0)
    named: list[StatedRecord] = []
    digest = sha256()
    for count, record in enumerate(records, 1):
        kinds[record["kind"]] += 1
        digest.update(msgspec.json.encode([record["id"], record["kind"], record["fields"]]))
        if count <= MOST_NAMED:
            named.append(record)
    found: StatedDifferences = {"kinds": kinds, "digest": digest.hexdigest()}
    return found if sum(kinds.values()) > MOST_NAMED else {**found, "records": named}


def contradictions(name: str, part: Mapping[str, Any]) -> list[str]:
    """What contradicts itself in what is stated of an entity. Raises whatever a part of another shape leads to."""
    differences = part["differences"]
    different, missing_here, missing_there = (differences["kinds"][kind] for kind in DifferenceKind)
    wrong = []
    if part["difference_count"] != different + missing_here + missing_there:
        wrong.append(f"{name}: {part['difference_count']:,} differences are stated, and other counts by kind")
    expected = {"here_count": part["equal_count"] + different + missing_there,
                "there_count": part["equal_count"] + different + missing_here}  # fmt: skip
    wrong += [
        f"{name}: {key} is stated as {part[key]:,}, and its records come to {count:,}"
        for key, count in expected.items()
        if part[key] != count
    ]
    return wrong + _wrong_records(name, differences, part["difference_count"])


def _wrong_records(name: str, differences: Mapping[str, Any], count: int) -> list[str]:
    records: Sequence[StatedRecord] | None = differences.get("records")
    if records is None:
        return [f"{name}: its {count} differences are not named"] if count <= MOST_NAMED else []
    again = stated(records)
    if again["kinds"] != differences["kinds"] or again["digest"] != differences["digest"]:
        return [f"{name}: the records that are named do not come to its digest and its counts by kind"]
    return []
