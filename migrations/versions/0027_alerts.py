"""Alerts: terms of rules, alerts, sealed transitions, silences, channels, deliveries, and measured values"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

APPEND_ONLY = """
create trigger tds_alert_transitions_append_only before update or delete on tds_alert_transitions
    for each row execute function tds_refuse_change();
create trigger tds_alert_transitions_no_truncate before truncate on tds_alert_transitions
    for each statement execute function tds_refuse_change();
"""


def upgrade() -> None:
    op.create_table('tds_alert_channels',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False, comment='email, slack, telegram, pagerduty, teams, ntfy or webhook'),
    sa.Column('locked', sa.LargeBinary(), nullable=False),
    sa.Column('masked', sa.Text(), nullable=False, comment='the address without its secrets, for people'),
    sa.Column('is_enabled', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('minimum_severity', sa.Text(), server_default=sa.text("'warning'"), nullable=False),
    sa.Column('after_seconds', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='told after nobody acknowledged for so long: a step of escalation'),
    sa.Column('reminder_seconds', sa.Integer(), server_default=sa.text('14400'), nullable=False, comment='0: no reminders'),
    sa.Column('quiet_hours', sa.Text(), nullable=True, comment='22:00-07:00'),
    sa.Column('time_zone', sa.Text(), server_default=sa.text("'UTC'"), nullable=False, comment='of the quiet hours'),
    sa.Column('with_detail', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='messages may hold error texts, not only ids and counts'),
    sa.Column('failure_count', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='in a row'),
    sa.Column('failing_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_error', sa.Text(), nullable=True),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True, comment='when it last took a message'),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='kept for the deliveries it got'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_alert_channels')),
    )
    op.create_index('uq_tds_alert_channels_name', 'tds_alert_channels', ['name'], unique=True, postgresql_where=sa.text('deleted_at is null'))
    op.create_table('tds_alert_rules',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('version', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('is_enabled', sa.Boolean(), server_default=sa.text('true'), nullable=False),
    sa.Column('severity', sa.Text(), nullable=False),
    sa.Column('threshold', sa.Float(), nullable=False),
    sa.Column('for_seconds', sa.Integer(), nullable=False, comment='so long the condition is met before it fires'),
    sa.Column('keep_seconds', sa.Integer(), nullable=False, comment='so long it is not met before it is resolved'),
    sa.Column('changed_by', sa.Text(), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('name', 'version', name=op.f('pk_tds_alert_rules'))
    )
    op.create_table('tds_alert_silences',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('rules', sa.ARRAY(sa.Text()), nullable=False, comment='patterns with *; empty: every rule'),
    sa.Column('subjects', sa.ARRAY(sa.Text()), nullable=False, comment='patterns with *; empty: every subject'),
    sa.Column('severities', sa.ARRAY(sa.Text()), nullable=False, comment='empty: every severity'),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('starts_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('ends_with_alerts', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='ends as soon as no alert that matched is active'),
    sa.Column('cron', sa.Text(), nullable=True, comment='five fields and perhaps a time zone: when it recurs'),
    sa.Column('duration_seconds', sa.Integer(), nullable=True),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True, comment='ended before its time'),
    sa.Column('ended_by', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_alert_silences'))
    )
    op.create_table('tds_alert_transitions',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('alert_id', sa.BigInteger(), nullable=False),
    sa.Column('rule', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('from_state', sa.Text(), nullable=False),
    sa.Column('to_state', sa.Text(), nullable=False),
    sa.Column('severity', sa.Text(), nullable=False),
    sa.Column('value', sa.Float(), nullable=True),
    sa.Column('changed_by', sa.Text(), nullable=False, comment='tds, or who did it'),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_alert_transitions'))
    )
    op.create_index('ix_tds_alert_transitions_alert', 'tds_alert_transitions', ['alert_id', 'id'], unique=False)
    op.create_index('ix_tds_alert_transitions_at', 'tds_alert_transitions', ['at'], unique=False)
    op.create_table('tds_alerts',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('rule', sa.Text(), nullable=False),
    sa.Column('subject', sa.Text(), nullable=False, comment='an entity, a breaker, a worker; empty for the whole'),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('version', sa.BigInteger(), server_default=sa.text('1'), nullable=False),
    sa.Column('severity', sa.Text(), nullable=False),
    sa.Column('episode', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='how often it has fired'),
    sa.Column('value', sa.Float(), nullable=True),
    sa.Column('summary', sa.Text(), nullable=False),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('since_at', sa.DateTime(timezone=True), nullable=True, comment='since when its condition is met'),
    sa.Column('seen_at', sa.DateTime(timezone=True), nullable=True, comment='when its condition was last met'),
    sa.Column('fired_at', sa.DateTime(timezone=True), nullable=True, comment='when this episode began'),
    sa.Column('resolved_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('recent_firings', sa.ARRAY(sa.DateTime(timezone=True)), server_default=sa.text("'{}'"), nullable=False, comment='of the last hour; many of them are flapping'),
    sa.Column('acknowledged_by', sa.Text(), nullable=True),
    sa.Column('acknowledged_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('acknowledged_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('note', sa.Text(), nullable=True),
    sa.Column('muted_by', sa.Text(), nullable=True, comment='the rule of the alert that causes this one'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_alerts'))
    )
    op.create_index('ix_tds_alerts_active', 'tds_alerts', ['rule'], unique=False, postgresql_where=sa.text("state in ('pending', 'firing', 'acknowledged', 'flapping', 'no_data')"))
    op.create_index('ix_tds_alerts_changed', 'tds_alerts', ['changed_at', 'id'], unique=False)
    op.create_index('uq_tds_alerts_subject', 'tds_alerts', ['rule', 'subject'], unique=True)
    op.create_table('tds_metrics',
    sa.Column('name', sa.Text(), nullable=False, comment='the rule'),
    sa.Column('subject', sa.Text(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('value', sa.Float(), nullable=True, comment='null: the subject is gone, or was not measured'),
    sa.PrimaryKeyConstraint('name', 'subject', 'at', name=op.f('pk_tds_metrics'))
    )
    op.create_index('ix_tds_metrics_at', 'tds_metrics', ['at'], unique=False)
    op.create_table('tds_alert_deliveries',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('alert_id', sa.BigInteger(), nullable=False),
    sa.Column('episode', sa.Integer(), nullable=False),
    sa.Column('channel_id', sa.BigInteger(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('state', sa.Text(), server_default='queued', nullable=False),
    sa.Column('reason', sa.Text(), nullable=True, comment='why it is suppressed, superseded, or sent now'),
    sa.Column('message_id', sa.Uuid(), nullable=True, comment='the same at every attempt'),
    sa.Column('attempts', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('tries', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
    sa.Column('next_attempt_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('lease_token', sa.Uuid(), nullable=True),
    sa.Column('leased_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('sent_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['alert_id'], ['tds_alerts.id'], name=op.f('fk_tds_alert_deliveries_alert_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['channel_id'], ['tds_alert_channels.id'], name=op.f('fk_tds_alert_deliveries_channel_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_alert_deliveries'))
    )
    op.create_index('ix_tds_alert_deliveries_channel', 'tds_alert_deliveries', ['channel_id', 'id'], unique=False)
    op.create_index('ix_tds_alert_deliveries_created', 'tds_alert_deliveries', ['created_at'], unique=False)
    op.create_index('ix_tds_alert_deliveries_due', 'tds_alert_deliveries', ['next_attempt_at'], unique=False, postgresql_where=sa.text("state = 'queued'"))
    op.create_index('uq_tds_alert_deliveries', 'tds_alert_deliveries', ['alert_id', 'episode', 'channel_id', 'kind', 'number'], unique=True)
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.drop_table('tds_alert_deliveries')
    op.drop_table('tds_metrics')
    op.drop_table('tds_alerts')
    op.drop_table('tds_alert_transitions')
    op.drop_table('tds_alert_silences')
    op.drop_table('tds_alert_rules')
    op.drop_table('tds_alert_channels')
