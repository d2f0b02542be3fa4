"""Operators, sessions, API keys, what they did, and answers kept for repeated requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

APPEND_ONLY = """
create trigger tds_operator_actions_append_only before update or delete on tds_operator_actions
    for each row execute function tds_refuse_change();
create trigger tds_operator_actions_no_truncate before truncate on tds_operator_actions
    for each statement execute function tds_refuse_change();
"""


def upgrade() -> None:
    op.create_table('tds_api_keys',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('prefix', sa.Text(), nullable=False, comment='how people call it; no secret'),
    sa.Column('name', sa.Text(), nullable=False, comment='what it is for'),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('scopes', sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='parts of the API it opens, by how their paths begin; none: all'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True, comment='written at most once a minute'),
    sa.Column('last_used_from', sa.Text(), nullable=True, comment='the address, then'),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_by', sa.Text(), nullable=True),
    sa.CheckConstraint("role in ('viewer', 'operator', 'admin')", name=op.f('ck_tds_api_keys_role')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_api_keys')),
    sa.UniqueConstraint('prefix', name=op.f('uq_tds_api_keys_prefix'))
    )
    op.create_table('tds_kept_answers',
    sa.Column('caller', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('request_digest', sa.LargeBinary(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=True),
    sa.Column('content_type', sa.Text(), nullable=True),
    sa.Column('body', sa.LargeBinary(), nullable=True, comment='none where the answer held a secret'),
    sa.Column('began_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('caller', 'key', name=op.f('pk_tds_kept_answers'))
    )
    op.create_index('ix_tds_kept_answers_expires_at', 'tds_kept_answers', ['expires_at'], unique=False)
    op.create_table('tds_operator_actions',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('begun_id', sa.BigInteger(), nullable=True, comment='the row of its beginning, if it has one'),
    sa.Column('recorded_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('caller', sa.Text(), nullable=False, comment="an operator's name, key:PREFIX, token, or the account of a shell"),
    sa.Column('caller_kind', sa.Text(), nullable=False, comment='operator, key, token, cli or nobody'),
    sa.Column('role', sa.Text(), nullable=True),
    sa.Column('operation', sa.Text(), nullable=False, comment='runs.approve, cli.runs.approve'),
    sa.Column('subject', sa.Text(), nullable=False, comment="on what: a path, a command's arguments"),
    sa.Column('entity', sa.Text(), nullable=True),
    sa.Column('source_ids', sa.ARRAY(sa.Text()), nullable=True, comment='the records it names'),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='what was asked, redacted'),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=True, comment='of the HTTP answer'),
    sa.Column('error', sa.Text(), nullable=True, comment='the code of what refused or failed it'),
    sa.Column('remote_address', sa.Text(), nullable=True),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_operator_actions'))
    )
    op.create_index('ix_tds_operator_actions_caller', 'tds_operator_actions', ['caller', 'id'], unique=False)
    op.create_index('ix_tds_operator_actions_operation', 'tds_operator_actions', ['operation', 'id'], unique=False)
    op.create_index('ix_tds_operator_actions_recorded_at', 'tds_operator_actions', ['recorded_at'], unique=False, postgresql_using='brin')
    op.create_index('ix_tds_operator_actions_source_ids', 'tds_operator_actions', ['source_ids'], unique=False, postgresql_using='gin', postgresql_where=sa.text('source_ids is not null'))
    op.create_index('uq_tds_operator_actions_begun_id', 'tds_operator_actions', ['begun_id'], unique=True, postgresql_where=sa.text('begun_id is not null'))
    op.create_table('tds_operators',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('name', sa.Text(), nullable=False, comment='lower case; what they log in with'),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('password_hash', sa.Text(), nullable=False, comment='argon2id'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=False),
    sa.Column('password_changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('last_login_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("role in ('viewer', 'operator', 'admin')", name=op.f('ck_tds_operators_role')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_operators')),
    sa.UniqueConstraint('name', name=op.f('uq_tds_operators_name'))
    )
    op.create_table('tds_operator_sessions',
    sa.Column('token_digest', sa.LargeBinary(), nullable=False, comment='of what the browser keeps'),
    sa.Column('operator_id', sa.BigInteger(), nullable=False),
    sa.Column('remote_address', sa.Text(), nullable=True),
    sa.Column('began_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('last_used_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='written at most once a minute'),
    sa.Column('ends_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['operator_id'], ['tds_operators.id'], name=op.f('fk_tds_operator_sessions_operator_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('token_digest', name=op.f('pk_tds_operator_sessions'))
    )
    op.create_index('ix_tds_operator_sessions_operator_id', 'tds_operator_sessions', ['operator_id'], unique=False)
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    op.drop_index('ix_tds_operator_sessions_operator_id', table_name='tds_operator_sessions')
    op.drop_table('tds_operator_sessions')
    op.drop_table('tds_operators')
    op.drop_index('uq_tds_operator_actions_begun_id', table_name='tds_operator_actions', postgresql_where=sa.text('begun_id is not null'))
    op.drop_index('ix_tds_operator_actions_source_ids', table_name='tds_operator_actions', postgresql_using='gin', postgresql_where=sa.text('source_ids is not null'))
    op.drop_index('ix_tds_operator_actions_recorded_at', table_name='tds_operator_actions', postgresql_using='brin')
    op.drop_index('ix_tds_operator_actions_operation', table_name='tds_operator_actions')
    op.drop_index('ix_tds_operator_actions_caller', table_name='tds_operator_actions')
    op.drop_table('tds_operator_actions')
    op.drop_index('ix_tds_kept_answers_expires_at', table_name='tds_kept_answers')
    op.drop_table('tds_kept_answers')
    op.drop_table('tds_api_keys')
