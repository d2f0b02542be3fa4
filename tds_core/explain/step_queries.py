"""Step queries: one per kind of timeline step, each read newest first by an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import TextClause, text


@dataclass(frozen=True)
class StepKind:
    """One kind of step. `sql` selects the columns at and correlation_id, and those of `keys`, by which it is ordered.

    `of_field` restricts it to the steps that concern one field: those that set it, and those that could have.
    """

    name: str
    sql: str
    keys: Sequence[tuple[str, str]]
    at: str
    of_field: str = "true"

    @cached_property
    def first(self) -> TextClause:
        """The newest steps."""
        return self._statement("true", "true")

    @cached_property
    def first_of_field(self) -> TextClause:
        """The newest steps that concern a field."""
        return self._statement("true", self.of_field)

    @cached_property
    def older(self) -> TextClause:
        """The newest steps before a mark, whose values are m0, m1 …"""
        return self._statement(self._before(), "true")

    @cached_property
    def older_of_field(self) -> TextClause:
        """The newest steps before a mark that concern a field."""
        return self._statement(self._before(), self.of_field)

    def _before(self) -> str:
        names = ", ".join(name for name, _ in self.keys)
        marks = ", ".join(f"cast(:m{place} as {kind})" for place, (_, kind) in enumerate(self.keys))
        return f"({names}) < ({marks})"

    def _statement(self, before: str, condition: str) -> TextClause:
        order = ", ".join(f"{name} desc" for name, _ in self.keys)
        return text(f"""{self.sql} and {self.at} >= :since and {self.at} < :until and {before} and {condition}
            order by {order} limit :limit""")


OF_RECORD = "{0}.source = :source and {0}.entity = :entity and {0}.source_id = :id"

_EVENTS = f"""
select e.received_at as at, e.id, e.correlation_id, e.event, e.complete, e.source_modified_at, e.verdict, e.verdict_at,
    e.verdict_reason, (select coalesce(sum(f.duplicate_count), 0)::int from tds_inbox_fingerprints f
                       where f.event_id = e.id and f.duplicate_count > 0) as duplicate_count
from tds_inbox_events e where {OF_RECORD.format("e")}"""
_REFUSED = """
select d.received_at as at, d.id, d.correlation_id, d.reason, d.status, d.path, d.remote_address
from tds_rejected_deliveries d where d.entity = :entity and d.source_id = :id"""
_ACTIONS = """
select a.recorded_at as at, a.id, a.correlation_id, a.caller, a.operation, a.subject, a.detail,
    coalesce(e.outcome, a.outcome) as outcome, coalesce(e.status, a.status) as status,
    coalesce(e.error, a.error) as error
from tds_operator_actions a left join tds_operator_actions e on e.begun_id = a.id
where a.source_ids is not null and a.source_ids @> array[cast(:id as text)] and a.entity = :entity
  and a.begun_id is null"""
_RUNS = f"""
select coalesce(r.started_at, r.requested_at) as at, r.id, r.correlation_id, r.mode, r.state, r.requested_by,
    r.ended_at, r.end_reason
from tds_sync_runs r where r.id in (
    select a.origin_id from tds_audit_trail a where {OF_RECORD.format("a")} and a.origin = 'run'
    union all
    select t.id from tds_sync_runs t where t.mode = 'targeted' and t.entity = :entity and t.source = :source
        and t.asked @> jsonb_build_object('ids', jsonb_build_array(cast(:id as text))))"""
_ATTEMPTS = f"""
select l.ended_at as at, l.id, l.correlation_id, l.attempt, l.outcome, l.error_class, l.error, l.worker,
    l.waited_seconds, l.exchange
from tds_sync_logs l where {OF_RECORD.format("l")}"""
# A change by a run names the run; any other names its newest event.
_CHANGES = f"""
select c.recorded_at as at, c.version, c.correlation_id, c.operation, c.changes::text as changes, c.origin,
    c.origin_id::text as origin_id, c.source_modified_at,
    extract(epoch from c.recorded_at - e.received_at)::float8 as after_seconds, r.mode as run_mode,
    r.requested_by as run_requested_by
from tds_audit_trail c
left join tds_inbox_events e on c.origin <> 'run' and e.id = c.origin_id
left join tds_sync_runs r on c.origin = 'run' and r.id = c.origin_id
where {OF_RECORD.format("c")}"""
_LETTERS = f"""
select d.dead_at as at, d.id, d.correlation_id, d.error_class, d.error, d.attempts, d.last_dead_at, d.assigned_to,
    d.resolved_at, d.resolution,
    (select coalesce(jsonb_agg(jsonb_build_object('requested_by', v.requested_by, 'requested_at', v.requested_at,
        'ended_at', v.ended_at, 'outcome', v.outcome) order by v.id), '[]')
     from tds_dead_letter_revivals v where v.letter_id = d.id) as revivals,
    (select coalesce(jsonb_agg(jsonb_build_object('operator', w.operator, 'acted_at', w.acted_at, 'action', w.action)
        order by w.id), '[]') from tds_dead_letter_actions w where w.letter_id = d.id) as actions
from tds_dead_letter_queue d where {OF_RECORD.format("d")}"""

_ID = "bigint"
#: The order of steps at the same time: requests and arrivals, attempts, changes, failures.
KINDS = (
    StepKind("action", _ACTIONS, [("a.id", _ID)], "a.recorded_at"),
    StepKind("run", _RUNS, [("r.id", _ID)], "coalesce(r.started_at, r.requested_at)", "false"),
    StepKind("refused", _REFUSED, [("d.id", _ID)], "d.received_at"),
    StepKind("event", _EVENTS, [("e.id", _ID)], "e.received_at",
             "(e.verdict is null or e.verdict not in ('applied', 'unchanged', 'superseded'))"),
    StepKind("attempt", _ATTEMPTS, [("l.ended_at", "timestamptz"), ("l.id", _ID)], "l.ended_at",
             "l.error_class is not null"),
    StepKind("change", _CHANGES, [("c.version", "int")], "c.recorded_at",
             "(c.changes ? :field or c.operation in ('deleted', 'restored'))"),
    StepKind("dead_letter", _LETTERS, [("d.id", _ID)], "d.dead_at"),
)  # fmt: skip
