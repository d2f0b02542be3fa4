"""A database with much in it: a week of events, attempts, history and everything lists show, made inside PostgreSQL."""

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tds_core.partitions import add_partition
from tds_core.queue.items import database_clock
from tds_core.statistics.history import store_figures
from tds_models.db import UNLIMITED, make_engine
from tds_models.entities import ENTITIES
from tds_models.partitions import PARTITIONED

#: The first of the records all tables speak of; source ids follow one another.
FIRST_ID = 1_783_541_000_000_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows of each kind; the rest is in proportion to them."""

    events: int = 1_000_000
    attempts: int = 200_000
    letters: int = 20_000
    runs: int = 20_000
    changes: int = 400_000
    records: int = 50_000


_ENTITIES = ", ".join(f"'{name}'" for name in ENTITIES)
_RECORD = "(:first + n % :records)::text"
_ENTITY = "(array['product', 'product', 'product', 'invoice', 'customer'])[1 + n % 5]"
_STATEMENTS = {
    "mirror": [
        f"""insert into erp.{entity} (source, source_id, {name}, {amount}, {key}, status, version, source_modified_at,
                source_record, changed_at, confirmed_at, deleted_at)
            select 'zoho', (:first + n)::text, '{entity} ' || n, n / 7.0, {of},
                (array['usual', 'seldom'])[1 + (n % 1000 = 999)::int], 1, now() - n * interval '10 seconds',
                jsonb_build_object('id', n, 'text', repeat('x', 300)), now() - n * interval '10 seconds',
                case when n % 50 > 0 then now() end, case when n % 40 = 0 then now() end
            from generate_series(0, :records - 1) n"""
        for entity, name, amount, key, of in (
            ("product", "name", "price", "sku", "'sku-' || n"),
            ("customer", "name", "outstanding", "currency_id", "'1'"),
            ("invoice", "number", "total", "customer_id", "(:first + n % (1 + :records / 10))::text"),
        )
    ]
    + [
        """insert into erp.invoice_line (source, parent_id, position, line_id, description)
           select 'zoho', (:first + n)::text, p, n || '-' || p, 'a line' from generate_series(0, :records - 1) n,
               generate_series(0, 2) p"""
    ],
    "events": [
        f"""insert into tds_inbox_events (id, source, entity, event, source_id, source_modified_at, record, complete,
                generation, correlation_id, received_at, verdict, verdict_at, verdict_reason)
            select nextval('tds_event_id_seq'), 'zoho', {_ENTITY}, 'updated', {_RECORD}, at,
                jsonb_build_object('id', n, 'text', repeat('x', 300)), true, n, 'event-' || n, at, verdict,
                case when verdict is not null then at + interval '300 ms' end, null
            from (select n, now() - ((:events - n) * 604800.0 / :events) * interval '1 second' as at,
                case when n > :events * 0.998 then null when n % 200 = 0 then 'quarantined'
                     when n % 200 = 1 then 'dead_lettered' when n % 10 = 2 then 'unchanged'
                     when n % 20 = 3 then 'stale' when n % 20 = 13 then 'superseded' else 'applied' end as verdict
                from generate_series(1, :events) n) e order by n""",
        """insert into tds_inbox_fingerprints (fingerprint, event_id, seen_at, duplicate_count)
           select decode(md5(n::text), 'hex'), n, now() - ((:events - n) * 604800.0 / :events) * interval '1 second',
               (n % 20 = 0)::int from generate_series(greatest(1, :events - :events / 10), :events) n""",
        f"""insert into tds_rejected_deliveries (received_at, reason, detail, status, path, entity, source_id, headers,
                remote_address, body_start, body_size, correlation_id)
            select now() - ((:letters - n) * 604800.0 / :letters) * interval '1 second',
                (array['signature_wrong', 'signature_missing'])[1 + n % 2], 'x', 401, '/api/tds/zoho/webhooks',
                {_ENTITY}, {_RECORD}, '{{}}', '192.0.2.' || n % 250, '{{}}', 2, 'refused-' || n
            from generate_series(1, :letters / 2) n""",
    ],
    "attempts": [
        f"""insert into tds_sync_logs (source, entity, source_id, generation, attempt, outcome, error_class, error,
                worker, correlation_id, waited_seconds, ended_at)
            select 'zoho', {_ENTITY}, {_RECORD}, n, 1,
                (array['updated', 'updated', 'unchanged', 'stale', 'retry', 'snooze'])[1 + n % 6],
                case when n % 6 = 4 then 'TransientError' end, case when n % 6 = 4 then 'timed out' end, 'worker-1',
                'event-' || n, 0.3, now() - ((:attempts - n) * 604800.0 / :attempts) * interval '1 second'
            from generate_series(1, :attempts) n""",
        f"""insert into tds_sync_queue (source, entity, source_id, priority, next_attempt_at, correlation_id,
                created_at, lease_token, leased_until, leased_by)
            select 'zoho', {_ENTITY}, {_RECORD}, 5, now() + (n % 3 - 1) * interval '1 minute', 'event-' || n,
                now() - interval '1 minute', case when n % 25 = 0 then gen_random_uuid() end,
                case when n % 25 = 0 then now() + interval '1 hour' end, case when n % 25 = 0 then 'worker-1' end
            from generate_series(1, :letters / 2) n on conflict do nothing""",
    ],
    "letters": [
        f"""insert into tds_dead_letter_queue (source, entity, source_id, error_class, error, fingerprint, attempts,
                priority, record, correlation_id, dead_at, last_dead_at, assigned_to, resolved_at, resolution)
            select 'zoho', {_ENTITY}, (:first + n)::text, (array['ValidationError', 'PermanentError'])[1 + n % 2],
                'rate: not a number', 'problem ' || n % 40, 8, 5, '{{"rate": "x"}}', 'event-' || n, now() - n *
                interval '1 minute', now() - n * interval '1 minute', case when n % 7 = 0 then 'ann' end,
                case when n % 4 > 0 then now() end, case when n % 4 > 0 then 'revived' end
            from generate_series(1, :letters) n""",
        """insert into tds_dead_letter_batches (requested_by, requested_at, asked, letter_count, per_minute, ended_at,
               correlation_id)
           select 'ann', now() - n * interval '1 hour', '{}', 10, 60, now(), 'batch-' || n
           from generate_series(1, greatest(:letters / 40, 1)) n""",
        """insert into tds_dead_letter_revivals (letter_id, batch_id, requested_by, requested_at, died_of, revived_at,
               ended_at, outcome)
           select l.id, b.id, 'ann', now(), 'rate: not a number', now(), now(), 'updated'
           from tds_dead_letter_queue l
           join (select id, row_number() over (order by id) as place, count(*) over () as many
                 from tds_dead_letter_batches) b on b.place = 1 + l.id % b.many
           where l.resolved_at is not null""",
        f"""insert into tds_findings (kind, severity, source, entity, subject, first_seen_at, last_seen_at, resolved_at)
            select 'schema_drift', 'note', 'zoho', {_ENTITY}, 'field ' || n, now(), now(),
                case when n % 3 > 0 then now() end from generate_series(1, :letters / 2) n""",
    ],
    "runs": [
        f"""insert into tds_sync_runs (source, entity, mode, state, requested_by, requested_at, started_at, ended_at,
                page_count, api_call_count, fetched_count, correlation_id)
            select 'zoho', {_ENTITY},
                (array['incremental', 'incremental', 'incremental', 'full', 'targeted', 'dry_run'])[1 + n % 6],
                (array['completed', 'completed', 'completed', 'failed', 'cancelled'])[1 + n / 6 % 5], 'beat', at,
                at, at + interval '20 seconds', 4, 4, 800, 'run-' || n
            from (select n, now() - (:runs - n) * interval '1 minute' as at from generate_series(1, :runs) n) r
            order by n""",
        """insert into tds_healing_cycles (began_at, ended_at, cause, counts)
           select now() - (:runs - n) * interval '5 minutes', now(), 'beat', '{"leases": 0}'
           from generate_series(1, :runs) n""",
        """insert into tds_healing_actions (acted_at, cycle_id, action, cause, count, outcome, lasted_seconds)
           select began_at, id, (array['leases', 'letters', 'nudges'])[1 + id % 3], 'beat', 1, 'done', 4.2
           from tds_healing_cycles order by id""",
    ],
    "changes": [
        f"""insert into tds_audit_trail (source, entity, source_id, version, operation, changes, origin, origin_id,
                correlation_id, recorded_at)
            select 'zoho', 'product', {_RECORD}, 1 + n / :records,
                case when n < :records then 'created' else 'updated' end,
                jsonb_build_object('price', jsonb_build_array(null, n::text)), 'webhook', n, 'event-' || n,
                now() - ((:changes - n) * 604800.0 / :changes) * interval '1 second'
            from generate_series(0, :changes - 1) n""",
        """insert into tds_operator_actions (recorded_at, caller, caller_kind, role, operation, subject, outcome,
               correlation_id)
           select now() - (:changes / 8 - n) * interval '1 minute', (array['ann', 'bob', 'key:1f2e3d4c'])[1 + n % 3],
               'operator', 'operator', (array['runs.start', 'findings.resolve', 'schedules.run'])[1 + n / 3 % 3],
               'runs', (array['done', 'done', 'refused'])[1 + n % 3], 'action-' || n
           from generate_series(1, :changes / 8) n""",
    ],
    "stock": [
        """insert into erp.stock_level (source, source_id, sku, stock_on_hand, version, changed_at, confirmed_at,
                lines_confirmed_at)
            select 'zoho', (:first + n)::text, 'sku-' || n, n % 100 - 2, 1, now() - n * interval '1 second', now(),
                now() from generate_series(0, :records - 1) n""",
        """insert into erp.stock_level_location (source, parent_id, position, location_id, location_name, stock_on_hand)
           select 'zoho', (:first + n)::text, p, p::text, 'place ' || p, n % 50 from generate_series(0, :records - 1) n,
               generate_series(0, 1) p""",
    ],
    "comparisons": [
        """insert into tds_comparisons (source, requested_by, requested_at, ended_at, state, agreement, score, seed,
                correlation_id)
            select 'zoho', 'beat', at, at, 'completed', 'differs', 50, n, 'comparison-' || n
            from (select n, now() - (91 - n) * interval '1 day' as at from generate_series(1, 90) n) c order by n""",
        f"""insert into tds_comparison_reports (comparison_id, entity, run_id, state, agreement, here_count,
                there_count, equal_count, different_count, match_percent, score, root_here, root_there, began_at,
                ended_at)
            select c.id, e.name, 1 + c.id % 50, 'completed', 'differs', :records, :records, :records - 1, 1, 99, 99,
                sha256('here'), sha256('there'), c.requested_at, c.ended_at
            from tds_comparisons c, unnest(array[{_ENTITIES}]) as e(name)
            order by c.id, e.name""",
        """insert into tds_comparison_differences (comparison_id, entity, source_id, kind, state, fields, cause,
                explanation, suspected_for, check_count, hash_here, hash_there, decided_at)
            select (select max(id) from tds_comparisons), 'product', (:first + n)::text, 'different',
                case when n % 1000 = 0 then 'suspect' else 'confirmed' end, '{"price": [1, 2]}', 'changed_here',
                'The row is not what its history comes to: not TDS changed it.', 'the list shows another value: price',
                1, sha256(n::text::bytea), sha256(n::text::bytea), now() from generate_series(0, :records - 1) n""",
        """insert into tds_record_proofs (source, entity, source_id, list_hash, row_digest, content_hash, is_detailed)
            select 'zoho', 'product', (:first + n)::text, h, h, h, false from (select n,
                substring(sha256(n::text::bytea) for 16) as h from generate_series(0, :records - 1) n) p""",
    ],
    "coverage": [
        f"""insert into tds_webhook_coverage (source, entity, operation, hour_at, webhook_count, in_time_count,
                never_count)
            select 'zoho', e.name, o.name, date_trunc('hour', now()) - n * interval '1 hour', 10, 8, 2
            from unnest(array[{_ENTITIES}]) as e(name),
                unnest(array['created', 'updated', 'deleted']) as o(name),
                generate_series(0, least(24 * 90, :changes / 100)) n""",
        f"""insert into tds_webhook_gaps (entry_id, source, entity, source_id, operation, origin, correlation_id,
                changed_at, found_at, verdict)
            select n, 'zoho', {_ENTITY}, {_RECORD}, 'updated', 'run', 'run-' || n, at, at, 'never'
            from (select n, now() - (:changes - n) * interval '10 seconds' as at from generate_series(1, :changes) n) g
            order by n""",
    ],
}

# The figures of now, for every hour and day that is kept; fewer of a small database.
_HISTORY = """
    insert into tds_statistics_history (entity, grain, began_at, figures, measured_at)
    select h.entity, g.grain, g.began_at, h.figures, g.began_at
    from tds_statistics_history h, (
        select 'hour' as grain, date_trunc('hour', now()) - n * interval '1 hour' as began_at
        from generate_series(1, least(24 * 35, :changes / 100)) n union all
        select 'day', date_trunc('day', now()) - n * interval '1 day'
        from generate_series(1, least(730, :changes / 100)) n) g
    where h.grain = 'hour' on conflict do nothing"""


def _fill_statistics(session: Session, given: Mapping[str, int]) -> None:
    now = database_clock(session)
    for name in ENTITIES:
        store_figures(session, name, now=now, zone="UTC")
    session.execute(text(_HISTORY), given)


def _add_past_partitions(session: Session) -> None:
    """Those of the past week, as they are where TDS has worked for that long."""
    now = database_clock(session)
    for table in PARTITIONED.values():
        for span in sorted({table.span_of(now - timedelta(days=days)) for days in range(1, 8)}):
            add_partition(session, table, span)


def fill(engine: Engine, size: Size) -> dict[str, float]:
    """Fill an empty, migrated database. Returns the seconds each part took; the last is what the planner is told."""
    took: dict[str, float] = {}
    with Session(engine) as session, session.begin():
        _add_past_partitions(session)
    given = {"first": FIRST_ID, **asdict(size)}
    for part, statements in _STATEMENTS.items():
        began = time.perf_counter()
        with engine.begin() as connection:
            connection.execute(text("set local statement_timeout = 0"))
            for statement in statements:
                connection.execute(text(statement), given)
        took[part] = round(time.perf_counter() - began, 1)
    began = time.perf_counter()
    with Session(engine) as session, session.begin():
        session.execute(text("set local statement_timeout = 0"))
        _fill_statistics(session, given)
    took["statistics"] = round(time.perf_counter() - began, 1)
    began = time.perf_counter()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("set statement_timeout = 0"))
        connection.execute(text("vacuum analyze"))
    return {**took, "vacuum analyze": round(time.perf_counter() - began, 1)}


def main() -> None:
    """Fill the database that TDS_DATABASE_URL names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seed", description=__doc__)
    for name, count in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=count)
    chosen = parser.parse_args()
    for part, seconds in fill(
        make_engine(os.environ["TDS_DATABASE_URL"], timeouts=UNLIMITED), Size(**vars(chosen))
    ).items():
        print(f"{part:16} {seconds:8.1f} s")


if __name__ == "__main__":
    main()
