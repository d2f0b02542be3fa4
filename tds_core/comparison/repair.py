"""Repair: has confirmed differences read again, through the ordinary queue, field policies permitting.

It is an act of its own: a plan first, with its price; then targeted runs, whose records are applied whatever their time
of change. The next comparison proves what they brought.
"""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.orm import Session

from tds_core.config.settings import Settings
from tds_core.errors import ConfigError, NotFoundError
from tds_core.sync import run_requests
from tds_models.entities import ENTITIES
from tds_models.entities.declaration import Entity

# A call, without a limit per minute: what one takes on the way there and back.
CALL_SECONDS = 0.5


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


@dataclass(slots=True)
class EntityRepair:
    """What a repair does about one entity. `kept_count`, `asked_count`: records it leaves alone for their fields."""

    entity: str
    source_ids: list[str] = field(default_factory=list)
    kept_count: int = 0
    asked_count: int = 0
    api_call_count: int = 0


@dataclass(slots=True)
class RepairPlan:
    """A repair and its price: records, calls, and about how many seconds. `run_ids`: of a repair that was requested."""

    comparison_id: int
    parts: list[EntityRepair]
    seconds: float
    run_ids: list[int] = field(default_factory=list)

    @property
    def record_count(self) -> int:
        """The records to be read again."""
        return sum(len(each.source_ids) for each in self.parts)

    @property
    def api_call_count(self) -> int:
        """The calls that takes."""
        return sum(each.api_call_count for each in self.parts)


# A record is read as a whole: of its differing fields, the one that allows least decides. Without policies their names
# are not looked at.
_POLICY = """
    case when :has_policies and jsonb_typeof(d.fields) = 'object' then
        (select case when bool_or(d.entity || '.' || name = any(:keep)) then 'keep'
                     when bool_or(d.entity || '.' || name = any(:ask)) then 'ask' end
         from jsonb_object_keys(d.fields) as name) end"""
_CONFIRMED = text(f"""
select entity, coalesce(array_agg(source_id order by source_id)
           filter (where coalesce(policy, '') <> 'keep' and (:includes_asked or coalesce(policy, '') <> 'ask')), '{{}}')
           as source_ids,
       count(*) filter (where policy = 'keep') as kept_count,
       count(*) filter (where policy = 'ask' and not :includes_asked) as asked_count
from (select d.entity, d.source_id, {_POLICY} as policy from tds_comparison_differences d
      where d.comparison_id = :id and d.state = 'confirmed' and (cast(:entity as text) is null or d.entity = :entity)
        and (cast(:ids as text[]) is null or d.source_id = any(:ids))) as confirmed
group by entity
""")


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
    when one of `source_ids` is no confirmed difference.
    """
    policies = policies_of(settings)
    of_policy = {
        policy.value: [f"{name}.{field_name}" for (name, field_name), each in policies.items() if each is policy]
        for policy in (Policy.KEEP, Policy.ASK)
    }
    params = {"id": comparison_id, "entity": entity, "ids": list(source_ids) or None}
    if source_ids:
        _refuse_unknown(comparison_id, source_ids, set(session.execute(_KNOWN, params).scalars()))
    params |= {**of_policy, "has_policies": bool(policies), "includes_asked": includes_asked}
    parts = {row["entity"]: EntityRepair(**row) for row in session.execute(_CONFIRMED, params).mappings()}
    for part in parts.values():
        part.api_call_count = call_count(ENTITIES[part.entity], len(part.source_ids))
    ordered = [parts[name] for name in ENTITIES if name in parts]
    return RepairPlan(comparison_id, ordered, seconds(settings, sum(each.api_call_count for each in ordered)))


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


def request(session: Session, repair: RepairPlan, *, requested_by: str, correlation_id: str = "") -> RepairPlan:
    """Have the records of a plan read again: one targeted run for each entity, whose ids are added to the plan."""
    for part in repair.parts:
        if part.source_ids:
            run_id = run_requests.request_records(
                session,
                entity=part.entity,
                source_ids=part.source_ids,
                requested_by=requested_by,
                correlation_id=correlation_id,
                forced=True,
            )
            repair.run_ids.append(run_id)
    return repair
