"""Repair: has confirmed differences read again, through the ordinary queue, field policies permitting.

It is an act of its own: a plan first, with its price; then targeted runs, whose records are applied whatever their time
of change. The next comparison proves what they brought.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_core.errors import ConfigError, NotFoundError, TdsError
from tds_core.sync import run_requests
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

# A call, without a limit per minute: what one takes on the way there and back.
CALL_SECONDS = 0.5


class StaleRepairError(TdsError):
    """A repair was looked at, and would do something else by now."""

    code = "stale_repair"


class Policy(StrEnum):
    """What a repair does about a field that differs."""

    SOURCE = "source"  # the source's value is taken
    KEEP = "keep"  # the mirror's value stays: such a record is left alone
    ASK = "ask"  # the source's value is taken when a person says so


Policies = Mapping[tuple[str, str], Policy]


def policies_of(settings: Settings) -> Policies:
    """The policies that are set, by entity and field. Raises ConfigError."""
    policies = {}
    for each in filter(None, (part.strip() for part in settings.repair_policies.split(","))):
        name, _, policy = each.partition("=")
        entity, _, field_name = name.strip().partition(".")
        declared = ENTITIES.get(entity)
        known = declared and field_name in {*(f.name for f in declared.fields), *declared.line_tables}
        if not known or policy.strip() not in list(Policy):
            raise ConfigError(
                f"TDS_REPAIR_POLICIES: {each!r} is not understood. Write product.description=keep,customer.email=ask:"
                f" entity, field and one of {', '.join(Policy)}."
            )
        policies[entity, field_name] = Policy(policy.strip())
    return policies


#: So many of the records that are read again are named; the others are counted.
MOST_NAMED = 100


@dataclass(slots=True)
class EntityRepair:
    """What a repair does about one entity. `kept_count`, `asked_count`: records it leaves alone for their fields.

    `source_ids`: the first of the `record_count` records that are read again.
    """

    entity: str
    record_count: int
    kept_count: int
    asked_count: int
    source_ids: list[str]
    api_call_count: int


#: Of which differences: the parameters of the statements below.
Selection = Mapping[str, Any]


@dataclass(slots=True)
class RepairPlan:
    """A repair and its price: records, calls, and about how many seconds. `run_ids`: of a repair that was requested."""

    comparison_id: int
    parts: list[EntityRepair]
    seconds: float
    selection: Selection = field(repr=False)
    run_ids: list[int] = field(default_factory=list)

    @property
    def record_count(self) -> int:
        """The records to be read again."""
        return sum(each.record_count for each in self.parts)

    @property
    def api_call_count(self) -> int:
        """The calls that takes."""
        return sum(each.api_call_count for each in self.parts)


_CONFIRMED = """
    tds_comparison_differences d where d.comparison_id = :id and d.state = 'confirmed'
      and (cast(:entity as text) is null or d.entity = :entity)
      and (cast(:ids as text[]) is null or d.source_id = any(:ids))"""
# An index has all that is asked for, so that a million differences are counted without reading their fields.
_COUNTS = text(f"""
select entity, count(*) as record_count, 0 as kept_count, 0 as asked_count
from {_CONFIRMED} and d.entity <> all(:with_policies) group by entity
""")
_IDS = text(f"select source_id from {_CONFIRMED} order by source_id limit :limit")
# A record is read as a whole: of its differing fields, the one that allows least decides.
_WITH_POLICY = f"""
(select entity, source_id, case when jsonb_typeof(fields) <> 'object' then null
         when jsonb_exists_any(fields, keep) then 'keep' when jsonb_exists_any(fields, ask) then 'ask' end as policy
    from jsonb_to_recordset(cast(:policies as jsonb)) as p(entity text, keep text[], ask text[]) join (
        select entity, source_id, fields from {_CONFIRMED}) as confirmed using (entity)) as confirmed"""
_IS_READ = "(policy is null or policy = 'ask' and :includes_asked)"
# Grouped first, so that a policy is looked for once a record.
_COUNTS_WITH_POLICY = text(f"""
select entity, coalesce(sum(count) filter (where {_IS_READ}), 0)::bigint as record_count,
       coalesce(sum(count) filter (where policy = 'keep'), 0)::bigint as kept_count,
       coalesce(sum(count) filter (where policy = 'ask' and not :includes_asked), 0)::bigint as asked_count
from (select entity, policy, count(*) as count from {_WITH_POLICY} group by entity, policy) as counted group by entity
""")
_IDS_WITH_POLICY = text(f"select source_id from {_WITH_POLICY} where {_IS_READ} order by source_id limit :limit")


def plan(
    session: Session,
    settings: Settings,
    comparison_id: int,
    *,
    entity: str | None = None,
    source_ids: Sequence[str] = (),
    includes_asked: bool = False,
) -> RepairPlan:
    """What would be read again of the confirmed differences of a comparison. Writes nothing. Raises ConfigError.

    `includes_asked`: a person said that fields with the policy `ask` are taken from the source. Raises NotFoundError
    when one of `source_ids` is no confirmed difference. However many differ, the answer is small.
    """
    policies = _policies_by_entity(policies_of(settings))
    selection = {
        "id": comparison_id, "entity": entity, "ids": list(source_ids) or None, "includes_asked": includes_asked,
        "policies": msgspec.json.encode(list(policies.values())).decode(), "with_policies": list(policies),
    }  # fmt: skip
    if source_ids:
        _refuse_unknown(comparison_id, source_ids, set(session.execute(_KNOWN, selection).scalars()))
    rows = [*session.execute(_COUNTS, selection).mappings()]
    if policies:
        rows += session.execute(_COUNTS_WITH_POLICY, selection).mappings()
    counts = {row["entity"]: row for row in rows}
    parts = [
        EntityRepair(
            **counts[name],
            source_ids=_ids(session, selection, name, limit=MOST_NAMED),
            api_call_count=call_count(ENTITIES[name], counts[name]["record_count"]),
        )
        for name in ENTITIES
        if name in counts
    ]
    return RepairPlan(
        comparison_id, parts, seconds(settings, sum(each.api_call_count for each in parts)), selection
    )  # fmt: skip


def _policies_by_entity(policies: Policies) -> dict[str, dict[str, Any]]:
    """By entity, the fields that have a policy, by policy; entities without one are left out."""
    rows: dict[str, dict[str, Any]] = {}
    for (entity, name), policy in policies.items():
        if policy is not Policy.SOURCE:
            rows.setdefault(entity, {"entity": entity}).setdefault(policy.value, []).append(name)
    return rows


def _ids(session: Session, selection: Selection, entity: str, *, limit: int | None) -> list[str]:
    """The records of an entity that are read again, in the order of their ids."""
    statement = _IDS_WITH_POLICY if entity in selection["with_policies"] else _IDS
    return list(session.execute(statement, {**selection, "entity": entity, "limit": limit}).scalars())


_KNOWN = text("""
select source_id from tds_comparison_differences
where comparison_id = :id and state = 'confirmed' and (cast(:entity as text) is null or entity = :entity)
  and source_id = any(:ids)
""")


def _refuse_unknown(comparison_id: int, source_ids: Sequence[str], confirmed: Set[str]) -> None:
    if unknown := sorted(set(source_ids) - confirmed):
        raise NotFoundError(
            f"Comparison {comparison_id} has no confirmed difference of {', '.join(unknown[:5])}"
            + (f" and {len(unknown) - 5} more." if len(unknown) > 5 else ".")
        )


def call_count(entity: Entity, record_count: int) -> int:
    """How many calls it takes to read so many records in detail."""
    batch = entity.stream.batch
    return math.ceil(record_count / batch.size) if batch else record_count


def seconds(settings: Settings, calls: int) -> float:
    """About how long so many calls take."""
    per_minute = settings.zoho_calls_per_minute
    return round(max(calls * CALL_SECONDS, calls / per_minute * 60 if per_minute else 0.0), 1)


def refuse_stale(repair: RepairPlan, seen_count: int | None) -> None:
    """Return if a plan still covers as many records as a person saw. Raises StaleRepairError."""
    if seen_count is not None and seen_count != repair.record_count:
        raise StaleRepairError(
            f"This repair covers {repair.record_count} records by now, not {seen_count}: look at the plan again."
        )


def request(session: Session, repair: RepairPlan, *, requested_by: str, correlation_id: str = "") -> RepairPlan:
    """Have the records of a plan read again: one targeted run for each entity, whose ids are added to the plan."""
    for part in repair.parts:
        if part.record_count:
            run_id = run_requests.request_records(
                session,
                entity=part.entity,
                source_ids=_ids(session, repair.selection, part.entity, limit=None),
                requested_by=requested_by,
                correlation_id=correlation_id,
                forced=True,
            )
            repair.run_ids.append(run_id)
    return repair
