"""Comparisons of the mirror with its source, proofs of records, and statements of agreement"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('tds_sync_run_pages', sa.Column('list_hashes', sa.LargeBinary(), nullable=True, comment='the fingerprints of these rows, 16 bytes each, in the same order'))
    op.create_table('tds_comparisons',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('requested_by', sa.Text(), nullable=False),
    sa.Column('requested_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('state', sa.Text(), server_default='running', nullable=False),
    sa.Column('agreement', sa.Text(), nullable=True, comment='equal, differs or unproven'),
    sa.Column('score', sa.Numeric(precision=5, scale=2), nullable=True),
    sa.Column('seed', sa.BigInteger(), nullable=False, comment='of the random sample'),
    sa.Column('sample_size', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='records of each entity read in detail, chosen at random'),
    sa.Column('correlation_id', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_comparisons'))
    )
    op.create_index('uq_tds_comparisons_open', 'tds_comparisons', ['source'], unique=True, postgresql_where=sa.text("state = 'running'"))
    op.create_table('tds_record_proofs',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='the fingerprint of the list row'),
    sa.Column('row_digest', sa.LargeBinary(), nullable=False, comment="the digest of the mirror's row and lines"),
    sa.Column('content_hash', sa.LargeBinary(), nullable=False, comment='the hash of what the list shows, in one spelling'),
    sa.Column('is_detailed', sa.Boolean(), nullable=False, comment='the whole record was read, not its list row alone'),
    sa.Column('proven_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('source', 'entity', 'source_id', name=op.f('pk_tds_record_proofs'))
    )
    op.create_table('tds_statements',
    sa.Column('number', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('comparison_id', sa.BigInteger(), nullable=False),
    sa.Column('body', sa.Text(), nullable=False, comment='JSON, exactly as it was signed'),
    sa.Column('key_id', sa.LargeBinary(), nullable=False),
    sa.Column('previous', sa.LargeBinary(), nullable=False, comment='the digest of the statement before'),
    sa.Column('digest', sa.LargeBinary(), nullable=False),
    sa.Column('made_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_tds_statements')),
    sa.UniqueConstraint('comparison_id', name=op.f('uq_tds_statements_comparison_id'))
    )
    op.create_table('tds_comparison_differences',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('comparison_id', sa.BigInteger(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), server_default='suspect', nullable=False),
    sa.Column('fields', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False, comment='field, here and there of each field that differs'),
    sa.Column('cause', sa.Text(), nullable=True),
    sa.Column('explanation', sa.Text(), nullable=True),
    sa.Column('since', sa.DateTime(timezone=True), nullable=True, comment='when the two sides parted, as far as is known'),
    sa.Column('suspected_for', sa.Text(), nullable=True, comment='what made it a suspect'),
    sa.Column('found_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('recheck_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('check_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('is_sampled', sa.Boolean(), server_default=sa.text('false'), nullable=False, comment='of the random sample'),
    sa.Column('list_modified_at', sa.DateTime(timezone=True), nullable=True, comment='the time of change in the list row'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment="the fingerprint of the list row, where its values were the mirror's"),
    sa.Column('hash_here', sa.LargeBinary(), nullable=True),
    sa.Column('hash_there', sa.LargeBinary(), nullable=True),
    sa.Column('decided_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['comparison_id'], ['tds_comparisons.id'], name=op.f('fk_tds_comparison_differences_comparison_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_tds_comparison_differences'))
    )
    op.create_index('ix_tds_comparison_differences_due', 'tds_comparison_differences', ['comparison_id', 'entity', 'recheck_at'], unique=False, postgresql_where=sa.text("state = 'suspect'"))
    op.create_index('ix_tds_comparison_differences_confirmed', 'tds_comparison_differences', ['entity', 'source_id'], unique=False, postgresql_where=sa.text("state = 'confirmed'"))
    op.create_index('uq_tds_comparison_differences_record', 'tds_comparison_differences', ['comparison_id', 'entity', 'source_id'], unique=True)
    op.create_table('tds_comparison_reports',
    sa.Column('comparison_id', sa.BigInteger(), nullable=False),
    sa.Column('entity', sa.Text(), nullable=False),
    sa.Column('run_id', sa.BigInteger(), nullable=False),
    sa.Column('follows_run_id', sa.BigInteger(), nullable=True, comment='the full pass whose pages are compared; null: the list is read anew'),
    sa.Column('state', sa.Text(), server_default='running', nullable=False),
    sa.Column('agreement', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True, comment='why nothing is proven'),
    sa.Column('here_count', sa.Integer(), nullable=True),
    sa.Column('there_count', sa.Integer(), nullable=True),
    sa.Column('equal_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('different_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('missing_here_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('missing_there_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('suspect_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('detail_count', sa.Integer(), server_default=sa.text('0'), nullable=False, comment='records read in detail'),
    sa.Column('match_percent', sa.Numeric(precision=7, scale=4), nullable=True),
    sa.Column('score', sa.Numeric(precision=5, scale=2), nullable=True),
    sa.Column('grades', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    sa.Column('root_here', sa.LargeBinary(), nullable=True),
    sa.Column('root_there', sa.LargeBinary(), nullable=True),
    sa.Column('buckets', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False, comment="of the source's side: count and sum of each bucket"),
    sa.Column('api_call_count', sa.Integer(), server_default=sa.text('0'), nullable=False),
    sa.Column('began_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['comparison_id'], ['tds_comparisons.id'], name=op.f('fk_tds_comparison_reports_comparison_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('comparison_id', 'entity', name=op.f('pk_tds_comparison_reports'))
    )
    op.create_index('ix_tds_comparison_reports_entity', 'tds_comparison_reports', ['entity', 'comparison_id'], unique=False)
    op.create_index('ix_tds_comparison_reports_run', 'tds_comparison_reports', ['run_id'], unique=False)
    op.execute("""
    create trigger tds_statements_append_only before update or delete on tds_statements
        for each row execute function tds_refuse_change();
    create trigger tds_statements_no_truncate before truncate on tds_statements
        for each statement execute function tds_refuse_change();
    """)


def downgrade() -> None:
    op.drop_column('tds_sync_run_pages', 'list_hashes')
    op.drop_index('ix_tds_comparison_reports_run', table_name='tds_comparison_reports')
    op.drop_index('ix_tds_comparison_reports_entity', table_name='tds_comparison_reports')
    op.drop_table('tds_comparison_reports')
    op.drop_index('ix_tds_comparison_differences_confirmed', table_name='tds_comparison_differences', postgresql_where=sa.text("state = 'confirmed'"))
    op.drop_index('uq_tds_comparison_differences_record', table_name='tds_comparison_differences')
    op.drop_index('ix_tds_comparison_differences_due', table_name='tds_comparison_differences', postgresql_where=sa.text("state = 'suspect'"))
    op.drop_table('tds_comparison_differences')
    op.drop_table('tds_statements')
    op.drop_table('tds_record_proofs')
    op.drop_index('uq_tds_comparisons_open', table_name='tds_comparisons', postgresql_where=sa.text("state = 'running'"))
    op.drop_table('tds_comparisons')
