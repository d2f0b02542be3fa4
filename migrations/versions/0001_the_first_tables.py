"""The first tables"""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create schema if not exists erp")
    op.execute("create sequence tds_event_id_seq")
    op.execute("create sequence tds_generation_seq")
    op.create_table('tds_audit_trail',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('operation', sa.Text(), nullable=False, comment='created, updated, deleted or restored'),
    sa.Column('changes', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('origin', sa.Text(), nullable=False, comment='webhook, run, healing or operator'),
    sa.Column('origin_id', sa.BigInteger(), nullable=True, comment='the event or the run'),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_audit_trail'))
    )
    op.create_index('ix_tds_audit_trail_recorded_at', 'tds_audit_trail', ['recorded_at'], unique=False, postgresql_using='brin')
    op.create_index('uq_tds_audit_trail_version', 'tds_audit_trail', ['entity', 'source_id', 'source', 'version'], unique=True)
    op.create_table('tds_dead_letter_queue',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('error_class', sa.Text(), nullable=False),
    sa.Column('error', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.Text(), nullable=False, comment='class, entity and message shape: equal ones are one problem'),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('priority', sa.SmallInteger(), nullable=False),
    sa.Column('record', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='the newest record known when it died'),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.Column('dead_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('resolved_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('resolution', sa.Text(), nullable=True, comment='revived, healed or resolved'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_dead_letter_queue'))
    )
    op.create_index('ix_tds_dead_letter_queue_fingerprint', 'tds_dead_letter_queue', ['fingerprint'], unique=False)
    op.create_index('ix_tds_dead_letter_queue_open', 'tds_dead_letter_queue', ['entity', 'dead_at'], unique=False, postgresql_where=sa.text('resolved_at is null'))
    op.create_table('tds_inbox_events',
    sa.Column('id', sa.BigInteger(), server_default=sa.text("nextval('tds_event_id_seq')"), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=True),
    sa.Column('event', sa.Text(), nullable=True, comment='created, updated or deleted; edited by a person'),
    sa.Column('source_id', sa.Text(), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('record', postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment='the record inside the wrapper'),
    sa.Column('raw', sa.LargeBinary(), nullable=True, comment='the body as it came, when it was not understood'),
    sa.Column('complete', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='the record may be applied as it is'),
    sa.Column('generation', sa.BigInteger(), nullable=True, comment="the work item's generation it asked for"),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('verdict', sa.Text(), nullable=True),
    sa.Column('verdict_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('verdict_reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_inbox_events'))
    )
    op.create_index('ix_tds_inbox_events_open', 'tds_inbox_events', ['entity', 'source_id', 'generation'], unique=False, postgresql_where=sa.text('verdict is null'))
    op.create_index('ix_tds_inbox_events_received_at', 'tds_inbox_events', ['received_at'], unique=False, postgresql_using='brin')
    op.create_index('ix_tds_inbox_events_record', 'tds_inbox_events', ['entity', 'source_id', 'id'], unique=False)
    op.create_table('tds_inbox_fingerprints',
    sa.Column('fingerprint', sa.LargeBinary(), nullable=False),
    sa.Column('event_id', sa.BigInteger(), nullable=False),
    sa.Column('seen_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('duplicate_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.PrimaryKeyConstraint('fingerprint', name=op.f('pk_tds_inbox_fingerprints'))
    )
    op.create_index('ix_tds_inbox_fingerprints_repeated', 'tds_inbox_fingerprints', ['event_id'], unique=False, postgresql_where=sa.text('duplicate_count > 0'))
    op.create_index('ix_tds_inbox_fingerprints_seen_at', 'tds_inbox_fingerprints', ['seen_at'], unique=False, postgresql_using='brin')
    op.create_table('tds_pulses',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('beat_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_tds_pulses'))
    )
    op.create_table('tds_rejected_deliveries',
    sa.Column('id', sa.BigInteger(), autoincrement=True, nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False, comment="the problem's code"),
    sa.Column('detail', sa.Text(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=False),
    sa.Column('path', sa.Text(), nullable=False),
    sa.Column('headers', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('remote_address', sa.Text(), nullable=True),
    sa.Column('body_start', sa.LargeBinary(), nullable=False, comment='the first bytes of the body'),
    sa.Column('body_size', sa.Integer(), nullable=False),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_rejected_deliveries'))
    )
    op.create_index('ix_tds_rejected_deliveries_received_at', 'tds_rejected_deliveries', ['received_at'], unique=False)
    op.create_table('tds_scheduled_jobs',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('cron', sa.Text(), nullable=False, comment='five fields, UTC; or every:SECONDS'),
    sa.Column('task', sa.Text(), nullable=False),
    sa.Column('arguments', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('missed', sa.Text(), server_default='once', nullable=False, comment='once: caught up once; skip: left out'),
    sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_tds_scheduled_jobs'))
    )
    op.create_table('tds_consents',
    sa.Column('state_digest', sa.LargeBinary(), nullable=False),
    sa.Column('accounts_url', sa.Text(), nullable=False),
    sa.Column('redirect_uri', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('state_digest', name=op.f('pk_tds_consents'))
    )
    op.create_table('tds_source_tokens',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('access_token', sa.LargeBinary(), nullable=True),
    sa.Column('refresh_token', sa.LargeBinary(), nullable=True, comment='when it came by the connect page, not from settings'),
    sa.Column('accounts_url', sa.Text(), nullable=True, comment='the accounts server that gave the refresh token'),
    sa.Column('api_url', sa.Text(), nullable=True, comment='the API host the token answer named'),
    sa.Column('organization_id', sa.Text(), nullable=True),
    sa.Column('organization_name', sa.Text(), nullable=True),
    sa.Column('connected_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('refreshing_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('blocked_until', sa.DateTime(timezone=True), nullable=True, comment='the token endpoint is not asked until then'),
    sa.Column('refused_at', sa.DateTime(timezone=True), nullable=True, comment='since then the token endpoint gives no token, until an operator mends the access'),
    sa.Column('refusal', sa.Text(), nullable=True),
    sa.Column('refused_credentials', sa.LargeBinary(), nullable=True, comment='a digest: with other credentials it is worth asking at once'),
    sa.Column('paused_until', sa.DateTime(timezone=True), nullable=True, comment='the source asked to be left alone until then'),
    sa.Column('pause_reason', sa.Text(), nullable=True),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('source', name=op.f('pk_tds_source_tokens'))
    )
    op.create_table('tds_sync_cursors',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('modified_at', sa.DateTime(timezone=True), nullable=False, comment='the newest modification time a page showed'),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('run_id', sa.BigInteger(), nullable=True),
    sa.PrimaryKeyConstraint('source', 'entity', name=op.f('pk_tds_sync_cursors'))
    )
    op.create_table('tds_sync_logs',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False, comment='an outcome, or retry, snooze, dead, crashed'),
    sa.Column('error_class', sa.Text(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('worker', sa.Text(), nullable=True),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.Column('waited_seconds', sa.Double(), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_sync_logs'))
    )
    op.create_index('ix_tds_sync_logs_ended_at', 'tds_sync_logs', ['ended_at'], unique=False)
    op.create_index('ix_tds_sync_logs_record', 'tds_sync_logs', ['entity', 'source_id', 'ended_at'], unique=False)
    op.create_table('tds_sync_queue',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('generation', sa.BigInteger(), server_default=sa.text("nextval('tds_generation_seq')"), nullable=False),
    sa.Column('must_read', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='no body will do: ask the source'),
    sa.Column('origin', sa.Text(), server_default='webhook', nullable=False, comment='which door it came through'),
    sa.Column('priority', sa.SmallInteger(), nullable=False),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='counted at the claim, so a crash counts'),
    sa.Column('snoozes', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('crashes', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='leases that ended without a word'),
    sa.Column('lease_token', sa.Uuid(), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('leased_by', sa.Text(), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint('(lease_token is null) = (leased_until is null)', name=op.f('ck_tds_sync_queue_lease_whole')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_sync_queue')),
    sa.UniqueConstraint('source', 'entity', 'source_id', name=op.f('uq_tds_sync_queue_source_entity_source_id')),
    postgresql_with={'fillfactor': 70, 'autovacuum_vacuum_scale_factor': 0.02, 'autovacuum_vacuum_threshold': 500, 'autovacuum_vacuum_cost_delay': 0}
    )
    op.create_index('ix_tds_sync_queue_due', 'tds_sync_queue', ['entity', 'priority', 'next_attempt_at'], unique=False, postgresql_where=sa.text('lease_token is null'))
    op.create_index('ix_tds_sync_queue_suspect', 'tds_sync_queue', ['entity'], unique=False, postgresql_where=sa.text('crashes > 0'))
    op.create_index('ix_tds_sync_queue_leased', 'tds_sync_queue', ['leased_until'], unique=False, postgresql_where=sa.text('lease_token is not null'))
    op.create_table('tds_sync_runs',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('mode', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), server_default='queued', nullable=False),
    sa.Column('requested_by', sa.Text(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('end_reason', sa.Text(), nullable=True),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='failures since the last page that went well'),
    sa.Column('position', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('page_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('api_call_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('fetched_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('expected_count', sa.Integer(), nullable=True, comment='how many records the mirror knew when it began'),
    sa.Column('outcomes', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='records by outcome'),
    sa.Column('cancel_requested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('lease_token', sa.Uuid(), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_sync_runs'))
    )
    op.create_index('ix_tds_sync_runs_started', 'tds_sync_runs', ['entity', 'requested_at'], unique=False)
    op.create_index('uq_tds_sync_runs_open', 'tds_sync_runs', ['source', 'entity'], unique=True, postgresql_where=sa.text("state in ('queued', 'running') and mode <> 'targeted'"))
    op.create_table('tds_schedule_slots',
    sa.Column('job', sa.Text(), nullable=False),
    sa.Column('slot_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('claimed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('result', sa.Text(), nullable=True, comment='completed, failed or skipped'),
    sa.Column('detail', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['job'], ['tds_scheduled_jobs.name'], name=op.f('fk_tds_schedule_slots_job'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job', 'slot_at', name=op.f('pk_tds_schedule_slots'))
    )
    op.create_index('ix_tds_schedule_slots_slot_at', 'tds_schedule_slots', ['slot_at'], unique=False)
    op.create_table('tds_sync_run_pages',
    sa.Column('run_id', sa.BigInteger(), nullable=False),
    sa.Column('page', sa.Integer(), nullable=False),
    sa.Column('source_ids', sa.ARRAY(sa.Text()), nullable=False),
    sa.Column('fetch_seconds', sa.Double(), nullable=False),
    sa.Column('apply_seconds', sa.Double(), nullable=False),
    sa.Column('read_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['run_id'], ['tds_sync_runs.id'], name=op.f('fk_tds_sync_run_pages_run_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('run_id', 'page', name=op.f('pk_tds_sync_run_pages'))
    )
    op.create_table('customer',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('company_name', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('first_name', sa.Text(), nullable=True),
    sa.Column('last_name', sa.Text(), nullable=True),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('phone', sa.Text(), nullable=True),
    sa.Column('mobile', sa.Text(), nullable=True),
    sa.Column('currency_id', sa.Text(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('payment_terms', sa.BigInteger(), nullable=True),
    sa.Column('payment_terms_label', sa.Text(), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('customer_sub_type', sa.Text(), nullable=True),
    sa.Column('outstanding', sa.Numeric(), nullable=True),
    sa.Column('unused_credits', sa.Numeric(), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_customer')),
    schema='erp'
    )
    op.create_index('ix_customer_live', 'customer', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('invoice',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('reference_number', sa.Text(), nullable=True),
    sa.Column('customer_id', sa.Text(), nullable=True),
    sa.Column('customer_name', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('invoiced_on', sa.Date(), nullable=True),
    sa.Column('due_on', sa.Date(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('exchange_rate', sa.Numeric(), nullable=True),
    sa.Column('sub_total', sa.Numeric(), nullable=True),
    sa.Column('tax_total', sa.Numeric(), nullable=True),
    sa.Column('shipping_charge', sa.Numeric(), nullable=True),
    sa.Column('adjustment', sa.Numeric(), nullable=True),
    sa.Column('total', sa.Numeric(), nullable=True),
    sa.Column('balance', sa.Numeric(), nullable=True),
    sa.Column('salesperson_id', sa.Text(), nullable=True),
    sa.Column('salesperson_name', sa.Text(), nullable=True),
    sa.Column('notes', sa.Text(), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_invoice')),
    schema='erp'
    )
    op.create_index(op.f('ix_invoice_customer_id'), 'invoice', ['customer_id'], unique=False, schema='erp')
    op.create_index('ix_invoice_live', 'invoice', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('product',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('sku', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('unit', sa.Text(), nullable=True),
    sa.Column('product_type', sa.Text(), nullable=True),
    sa.Column('item_type', sa.Text(), nullable=True),
    sa.Column('brand', sa.Text(), nullable=True),
    sa.Column('manufacturer', sa.Text(), nullable=True),
    sa.Column('category_id', sa.Text(), nullable=True),
    sa.Column('category_name', sa.Text(), nullable=True),
    sa.Column('price', sa.Numeric(), nullable=True),
    sa.Column('purchase_price', sa.Numeric(), nullable=True),
    sa.Column('tax_id', sa.Text(), nullable=True),
    sa.Column('tax_percentage', sa.Numeric(), nullable=True),
    sa.Column('stock_on_hand', sa.Numeric(), nullable=True),
    sa.Column('available_stock', sa.Numeric(), nullable=True),
    sa.Column('actual_available_stock', sa.Numeric(), nullable=True),
    sa.Column('reorder_level', sa.Numeric(), nullable=True),
    sa.Column('is_combo_product', sa.Boolean(), nullable=True),
    sa.Column('is_returnable', sa.Boolean(), nullable=True),
    sa.Column('upc', sa.Text(), nullable=True),
    sa.Column('ean', sa.Text(), nullable=True),
    sa.Column('part_number', sa.Text(), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.CheckConstraint('price >= 0', name=op.f('ck_product_price')),
    sa.CheckConstraint('purchase_price >= 0', name=op.f('ck_product_purchase_price')),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_product')),
    schema='erp'
    )
    op.create_index(op.f('ix_product_category_id'), 'product', ['category_id'], unique=False, schema='erp')
    op.create_index('ix_product_live', 'product', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('vendor',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('company_name', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('first_name', sa.Text(), nullable=True),
    sa.Column('last_name', sa.Text(), nullable=True),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('phone', sa.Text(), nullable=True),
    sa.Column('mobile', sa.Text(), nullable=True),
    sa.Column('currency_id', sa.Text(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('payment_terms', sa.BigInteger(), nullable=True),
    sa.Column('payment_terms_label', sa.Text(), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('outstanding', sa.Numeric(), nullable=True),
    sa.Column('unused_credits', sa.Numeric(), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_vendor')),
    schema='erp'
    )
    op.create_index('ix_vendor_live', 'vendor', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('invoice_line',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the invoice'),
    sa.Column('position', sa.Integer(), nullable=False, comment='0 is the first line'),
    sa.Column('line_id', sa.Text(), nullable=True),
    sa.Column('product_id', sa.Text(), nullable=True),
    sa.Column('sku', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('quantity', sa.Numeric(), nullable=True),
    sa.Column('unit', sa.Text(), nullable=True),
    sa.Column('rate', sa.Numeric(), nullable=True),
    sa.Column('discount', sa.Text(), nullable=True),
    sa.Column('tax_percentage', sa.Numeric(), nullable=True),
    sa.Column('line_total', sa.Numeric(), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.invoice.source', 'erp.invoice.source_id'], name='fk_invoice_line_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_invoice_line')),
    schema='erp'
    )
    op.create_index(op.f('ix_invoice_line_product_id'), 'invoice_line', ['product_id'], unique=False, schema='erp')


def downgrade() -> None:
    op.drop_index(op.f('ix_invoice_line_product_id'), table_name='invoice_line', schema='erp')
    op.drop_table('invoice_line', schema='erp')
    op.drop_index('ix_vendor_live', table_name='vendor', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('vendor', schema='erp')
    op.drop_index('ix_product_live', table_name='product', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_index(op.f('ix_product_category_id'), table_name='product', schema='erp')
    op.drop_table('product', schema='erp')
    op.drop_index('ix_invoice_live', table_name='invoice', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_index(op.f('ix_invoice_customer_id'), table_name='invoice', schema='erp')
    op.drop_table('invoice', schema='erp')
    op.drop_index('ix_customer_live', table_name='customer', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('customer', schema='erp')
    op.drop_table('tds_sync_run_pages')
    op.drop_index('ix_tds_schedule_slots_slot_at', table_name='tds_schedule_slots')
    op.drop_table('tds_schedule_slots')
    op.drop_index('uq_tds_sync_runs_open', table_name='tds_sync_runs', postgresql_where=sa.text("state in ('queued', 'running') and mode <> 'targeted'"))
    op.drop_index('ix_tds_sync_runs_started', table_name='tds_sync_runs')
    op.drop_table('tds_sync_runs')
    op.drop_index('ix_tds_sync_queue_leased', table_name='tds_sync_queue', postgresql_where=sa.text('lease_token is not null'))
    op.drop_index('ix_tds_sync_queue_due', table_name='tds_sync_queue', postgresql_where=sa.text('lease_token is null'))
    op.drop_table('tds_sync_queue')
    op.drop_index('ix_tds_sync_logs_record', table_name='tds_sync_logs')
    op.drop_index('ix_tds_sync_logs_ended_at', table_name='tds_sync_logs')
    op.drop_table('tds_sync_logs')
    op.drop_table('tds_sync_cursors')
    op.drop_table('tds_source_tokens')
    op.drop_table('tds_consents')
    op.drop_table('tds_scheduled_jobs')
    op.drop_index('ix_tds_rejected_deliveries_received_at', table_name='tds_rejected_deliveries')
    op.drop_table('tds_rejected_deliveries')
    op.drop_table('tds_pulses')
    op.drop_index('ix_tds_inbox_fingerprints_seen_at', table_name='tds_inbox_fingerprints')
    op.drop_table('tds_inbox_fingerprints')
    op.drop_index('ix_tds_inbox_events_record', table_name='tds_inbox_events')
    op.drop_index('ix_tds_inbox_events_received_at', table_name='tds_inbox_events')
    op.drop_index('ix_tds_inbox_events_open', table_name='tds_inbox_events', postgresql_where=sa.text('verdict is null'))
    op.drop_table('tds_inbox_events')
    op.drop_index('ix_tds_dead_letter_queue_open', table_name='tds_dead_letter_queue', postgresql_where=sa.text('resolved_at is null'))
    op.drop_index('ix_tds_dead_letter_queue_fingerprint', table_name='tds_dead_letter_queue')
    op.drop_table('tds_dead_letter_queue')
    op.drop_index('uq_tds_audit_trail_version', table_name='tds_audit_trail')
    op.drop_index('ix_tds_audit_trail_recorded_at', table_name='tds_audit_trail', postgresql_using='brin')
    op.drop_table('tds_audit_trail')
    op.execute("drop sequence tds_event_id_seq")
    op.execute("drop sequence tds_generation_seq")
    op.execute("drop schema erp")
