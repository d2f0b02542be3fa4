"""The entities beside the first four, their lines, and what a list row alone tells of a document."""

from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('bill',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('reference_number', sa.Text(), nullable=True),
    sa.Column('vendor_id', sa.Text(), nullable=True),
    sa.Column('vendor_name', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('billed_on', sa.Date(), nullable=True),
    sa.Column('due_on', sa.Date(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('exchange_rate', sa.Numeric(), nullable=True),
    sa.Column('sub_total', sa.Numeric(), nullable=True),
    sa.Column('tax_total', sa.Numeric(), nullable=True),
    sa.Column('adjustment', sa.Numeric(), nullable=True),
    sa.Column('total', sa.Numeric(), nullable=True),
    sa.Column('balance', sa.Numeric(), nullable=True),
    sa.Column('payment_made', sa.Numeric(), nullable=True),
    sa.Column('vendor_credits_applied', sa.Numeric(), nullable=True),
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('notes', sa.Text(), nullable=True),
    sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.Column('lines_confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the record was last seen whole, with its lines; null: only a list row since it changed'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_bill')),
    schema='erp'
    )
    op.create_index('ix_bill_live', 'bill', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_index(op.f('ix_bill_location_id'), 'bill', ['location_id'], unique=False, schema='erp')
    op.create_index(op.f('ix_bill_vendor_id'), 'bill', ['vendor_id'], unique=False, schema='erp')
    op.create_table('category',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('parent_id', sa.Text(), nullable=True),
    sa.Column('is_visible', sa.Boolean(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_category')),
    schema='erp'
    )
    op.create_index('ix_category_live', 'category', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('credit_note',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('reference_number', sa.Text(), nullable=True),
    sa.Column('customer_id', sa.Text(), nullable=True),
    sa.Column('customer_name', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('credited_on', sa.Date(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('exchange_rate', sa.Numeric(), nullable=True),
    sa.Column('sub_total', sa.Numeric(), nullable=True),
    sa.Column('tax_total', sa.Numeric(), nullable=True),
    sa.Column('adjustment', sa.Numeric(), nullable=True),
    sa.Column('total', sa.Numeric(), nullable=True),
    sa.Column('balance', sa.Numeric(), nullable=True),
    sa.Column('credits_used', sa.Numeric(), nullable=True),
    sa.Column('refunded', sa.Numeric(), nullable=True),
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('notes', sa.Text(), nullable=True),
    sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.Column('lines_confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the record was last seen whole, with its lines; null: only a list row since it changed'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_credit_note')),
    schema='erp'
    )
    op.create_index(op.f('ix_credit_note_customer_id'), 'credit_note', ['customer_id'], unique=False, schema='erp')
    op.create_index('ix_credit_note_live', 'credit_note', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_index(op.f('ix_credit_note_location_id'), 'credit_note', ['location_id'], unique=False, schema='erp')
    op.create_table('customer_payment',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('reference_number', sa.Text(), nullable=True),
    sa.Column('customer_id', sa.Text(), nullable=True),
    sa.Column('customer_name', sa.Text(), nullable=True),
    sa.Column('payment_mode', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('paid_on', sa.Date(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('exchange_rate', sa.Numeric(), nullable=True),
    sa.Column('amount', sa.Numeric(), nullable=True),
    sa.Column('unused_amount', sa.Numeric(), nullable=True),
    sa.Column('tax_withheld', sa.Numeric(), nullable=True),
    sa.Column('bank_charges', sa.Numeric(), nullable=True),
    sa.Column('refunded', sa.Numeric(), nullable=True),
    sa.Column('account_id', sa.Text(), nullable=True),
    sa.Column('account_name', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.Column('lines_confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the record was last seen whole, with its lines; null: only a list row since it changed'),
    sa.CheckConstraint('amount >= 0', name=op.f('ck_customer_payment_amount')),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_customer_payment')),
    schema='erp'
    )
    op.create_index(op.f('ix_customer_payment_customer_id'), 'customer_payment', ['customer_id'], unique=False, schema='erp')
    op.create_index('ix_customer_payment_live', 'customer_payment', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_index(op.f('ix_customer_payment_location_id'), 'customer_payment', ['location_id'], unique=False, schema='erp')
    op.create_table('location',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('type', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('is_primary', sa.Boolean(), nullable=True),
    sa.Column('parent_id', sa.Text(), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_location')),
    schema='erp'
    )
    op.create_index('ix_location_live', 'location', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_index(op.f('ix_location_parent_id'), 'location', ['parent_id'], unique=False, schema='erp')
    op.create_table('price_list',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('currency_id', sa.Text(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('pricebook_type', sa.Text(), nullable=True),
    sa.Column('pricing_scheme', sa.Text(), nullable=True),
    sa.Column('rounding_type', sa.Text(), nullable=True),
    sa.Column('sales_or_purchase_type', sa.Text(), nullable=True),
    sa.Column('is_default', sa.Boolean(), nullable=True),
    sa.Column('is_increase', sa.Boolean(), nullable=True),
    sa.Column('percentage', sa.Numeric(), nullable=True),
    sa.Column('decimal_places', sa.BigInteger(), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.Column('lines_confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the record was last seen whole, with its lines; null: only a list row since it changed'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_price_list')),
    schema='erp'
    )
    op.create_index('ix_price_list_live', 'price_list', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('sales_order',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Text(), nullable=True),
    sa.Column('reference_number', sa.Text(), nullable=True),
    sa.Column('customer_id', sa.Text(), nullable=True),
    sa.Column('customer_name', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('order_status', sa.Text(), nullable=True),
    sa.Column('invoiced_status', sa.Text(), nullable=True),
    sa.Column('paid_status', sa.Text(), nullable=True),
    sa.Column('shipped_status', sa.Text(), nullable=True),
    sa.Column('ordered_on', sa.Date(), nullable=True),
    sa.Column('shipment_on', sa.Date(), nullable=True),
    sa.Column('currency_code', sa.Text(), nullable=True),
    sa.Column('exchange_rate', sa.Numeric(), nullable=True),
    sa.Column('sub_total', sa.Numeric(), nullable=True),
    sa.Column('tax_total', sa.Numeric(), nullable=True),
    sa.Column('adjustment', sa.Numeric(), nullable=True),
    sa.Column('total', sa.Numeric(), nullable=True),
    sa.Column('balance', sa.Numeric(), nullable=True),
    sa.Column('shipping_charge', sa.Numeric(), nullable=True),
    sa.Column('quantity', sa.Numeric(), nullable=True),
    sa.Column('is_backorder', sa.Boolean(), nullable=True),
    sa.Column('is_drop_shipment', sa.Boolean(), nullable=True),
    sa.Column('delivery_method', sa.Text(), nullable=True),
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('salesperson_name', sa.Text(), nullable=True),
    sa.Column('notes', sa.Text(), nullable=True),
    sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.Column('lines_confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the record was last seen whole, with its lines; null: only a list row since it changed'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_sales_order')),
    schema='erp'
    )
    op.create_index(op.f('ix_sales_order_customer_id'), 'sales_order', ['customer_id'], unique=False, schema='erp')
    op.create_index('ix_sales_order_live', 'sales_order', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_index(op.f('ix_sales_order_location_id'), 'sales_order', ['location_id'], unique=False, schema='erp')
    op.create_table('stock_adjustment',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('adjusted_on', sa.Date(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('reference_number', sa.Text(), nullable=True),
    sa.Column('adjustment_type', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('total', sa.Numeric(), nullable=True),
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('created_by', sa.Text(), nullable=True),
    sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('source_created_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.Column('lines_confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the record was last seen whole, with its lines; null: only a list row since it changed'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_stock_adjustment')),
    schema='erp'
    )
    op.create_index('ix_stock_adjustment_live', 'stock_adjustment', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_index(op.f('ix_stock_adjustment_location_id'), 'stock_adjustment', ['location_id'], unique=False, schema='erp')
    op.create_table('stock_level',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('sku', sa.Text(), nullable=True),
    sa.Column('stock_on_hand', sa.Numeric(), nullable=True),
    sa.Column('available_stock', sa.Numeric(), nullable=True),
    sa.Column('actual_available_stock', sa.Numeric(), nullable=True),
    sa.Column('committed_stock', sa.Numeric(), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.Column('lines_confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the record was last seen whole, with its lines; null: only a list row since it changed'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_stock_level')),
    schema='erp'
    )
    op.create_index('ix_stock_level_live', 'stock_level', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('user',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('source_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('email', sa.Text(), nullable=True),
    sa.Column('mobile', sa.Text(), nullable=True),
    sa.Column('role_id', sa.Text(), nullable=True),
    sa.Column('role', sa.Text(), nullable=True),
    sa.Column('user_type', sa.Text(), nullable=True),
    sa.Column('status', sa.Text(), nullable=True),
    sa.Column('source_modified_at', sa.DateTime(timezone=True), nullable=True, comment='when the source last changed it; never moves backwards'),
    sa.Column('source_record', postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False, comment='the record as the source sent it'),
    sa.Column('list_hash', sa.LargeBinary(), nullable=True, comment='fingerprint of the list row last seen: equal means nothing to read'),
    sa.Column('version', sa.Integer(), nullable=False, comment='counts our changes; the audit trail has one entry for each'),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False, comment='when we last changed it'),
    sa.Column('confirmed_at', sa.DateTime(timezone=True), nullable=True, comment="when the source's API last showed this very version; null: only a webhook said so"),
    sa.Column('deleted_at', sa.DateTime(timezone=True), nullable=True, comment='when we learned that the source no longer has it'),
    sa.PrimaryKeyConstraint('source', 'source_id', name=op.f('pk_user')),
    schema='erp'
    )
    op.create_index('ix_user_live', 'user', ['source_modified_at'], unique=False, schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.create_table('bill_line',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the bill'),
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
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('account_name', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.bill.source', 'erp.bill.source_id'], name='fk_bill_line_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_bill_line')),
    schema='erp'
    )
    op.create_index(op.f('ix_bill_line_location_id'), 'bill_line', ['location_id'], unique=False, schema='erp')
    op.create_index(op.f('ix_bill_line_product_id'), 'bill_line', ['product_id'], unique=False, schema='erp')
    op.create_table('credit_note_application',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the credit_note'),
    sa.Column('position', sa.Integer(), nullable=False, comment='0 is the first line'),
    sa.Column('line_id', sa.Text(), nullable=True),
    sa.Column('invoice_id', sa.Text(), nullable=True),
    sa.Column('invoice_number', sa.Text(), nullable=True),
    sa.Column('applied_on', sa.Date(), nullable=True),
    sa.Column('amount', sa.Numeric(), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.credit_note.source', 'erp.credit_note.source_id'], name='fk_credit_note_application_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_credit_note_application')),
    schema='erp'
    )
    op.create_index(op.f('ix_credit_note_application_invoice_id'), 'credit_note_application', ['invoice_id'], unique=False, schema='erp')
    op.create_table('credit_note_line',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the credit_note'),
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
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('invoice_id', sa.Text(), nullable=True),
    sa.Column('is_returned_to_stock', sa.Boolean(), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.credit_note.source', 'erp.credit_note.source_id'], name='fk_credit_note_line_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_credit_note_line')),
    schema='erp'
    )
    op.create_index(op.f('ix_credit_note_line_invoice_id'), 'credit_note_line', ['invoice_id'], unique=False, schema='erp')
    op.create_index(op.f('ix_credit_note_line_location_id'), 'credit_note_line', ['location_id'], unique=False, schema='erp')
    op.create_index(op.f('ix_credit_note_line_product_id'), 'credit_note_line', ['product_id'], unique=False, schema='erp')
    op.create_table('customer_payment_application',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the customer_payment'),
    sa.Column('position', sa.Integer(), nullable=False, comment='0 is the first line'),
    sa.Column('line_id', sa.Text(), nullable=True),
    sa.Column('invoice_id', sa.Text(), nullable=True),
    sa.Column('invoice_number', sa.Text(), nullable=True),
    sa.Column('invoiced_on', sa.Date(), nullable=True),
    sa.Column('invoice_amount', sa.Numeric(), nullable=True),
    sa.Column('amount', sa.Numeric(), nullable=True),
    sa.Column('balance', sa.Numeric(), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.customer_payment.source', 'erp.customer_payment.source_id'], name='fk_customer_payment_application_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_customer_payment_application')),
    schema='erp'
    )
    op.create_index(op.f('ix_customer_payment_application_invoice_id'), 'customer_payment_application', ['invoice_id'], unique=False, schema='erp')
    op.create_table('price_list_price',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the price_list'),
    sa.Column('position', sa.Integer(), nullable=False, comment='0 is the first line'),
    sa.Column('line_id', sa.Text(), nullable=True),
    sa.Column('product_id', sa.Text(), nullable=True),
    sa.Column('price', sa.Numeric(), nullable=True),
    sa.Column('discount', sa.Text(), nullable=True),
    sa.Column('pricing_scheme', sa.Text(), nullable=True),
    sa.Column('brackets', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.price_list.source', 'erp.price_list.source_id'], name='fk_price_list_price_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_price_list_price')),
    schema='erp'
    )
    op.create_index(op.f('ix_price_list_price_product_id'), 'price_list_price', ['product_id'], unique=False, schema='erp')
    op.create_table('sales_order_line',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the sales_order'),
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
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('quantity_packed', sa.Numeric(), nullable=True),
    sa.Column('quantity_shipped', sa.Numeric(), nullable=True),
    sa.Column('quantity_invoiced', sa.Numeric(), nullable=True),
    sa.Column('quantity_cancelled', sa.Numeric(), nullable=True),
    sa.Column('quantity_returned', sa.Numeric(), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.sales_order.source', 'erp.sales_order.source_id'], name='fk_sales_order_line_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_sales_order_line')),
    schema='erp'
    )
    op.create_index(op.f('ix_sales_order_line_location_id'), 'sales_order_line', ['location_id'], unique=False, schema='erp')
    op.create_index(op.f('ix_sales_order_line_product_id'), 'sales_order_line', ['product_id'], unique=False, schema='erp')
    op.create_table('stock_adjustment_line',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the stock_adjustment'),
    sa.Column('position', sa.Integer(), nullable=False, comment='0 is the first line'),
    sa.Column('line_id', sa.Text(), nullable=True),
    sa.Column('product_id', sa.Text(), nullable=True),
    sa.Column('sku', sa.Text(), nullable=True),
    sa.Column('name', sa.Text(), nullable=True),
    sa.Column('unit', sa.Text(), nullable=True),
    sa.Column('quantity_adjusted', sa.Numeric(), nullable=True),
    sa.Column('value_adjusted', sa.Numeric(), nullable=True),
    sa.Column('line_total', sa.Numeric(), nullable=True),
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.stock_adjustment.source', 'erp.stock_adjustment.source_id'], name='fk_stock_adjustment_line_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_stock_adjustment_line')),
    schema='erp'
    )
    op.create_index(op.f('ix_stock_adjustment_line_location_id'), 'stock_adjustment_line', ['location_id'], unique=False, schema='erp')
    op.create_index(op.f('ix_stock_adjustment_line_product_id'), 'stock_adjustment_line', ['product_id'], unique=False, schema='erp')
    op.create_table('stock_level_location',
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('parent_id', sa.Text(), nullable=False, comment='source id of the stock_level'),
    sa.Column('position', sa.Integer(), nullable=False, comment='0 is the first line'),
    sa.Column('line_id', sa.Text(), nullable=True),
    sa.Column('location_id', sa.Text(), nullable=True),
    sa.Column('location_name', sa.Text(), nullable=True),
    sa.Column('stock_on_hand', sa.Numeric(), nullable=True),
    sa.Column('available_stock', sa.Numeric(), nullable=True),
    sa.Column('actual_available_stock', sa.Numeric(), nullable=True),
    sa.ForeignKeyConstraint(['source', 'parent_id'], ['erp.stock_level.source', 'erp.stock_level.source_id'], name='fk_stock_level_location_parent', ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('source', 'parent_id', 'position', name=op.f('pk_stock_level_location')),
    schema='erp'
    )
    op.create_index(op.f('ix_stock_level_location_location_id'), 'stock_level_location', ['location_id'], unique=False, schema='erp')
    op.add_column('customer', sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True), schema='erp')
    op.add_column('invoice', sa.Column('sales_order_id', sa.Text(), nullable=True), schema='erp')
    op.add_column('invoice', sa.Column('payment_made', sa.Numeric(), nullable=True), schema='erp')
    op.add_column('invoice', sa.Column('credits_applied', sa.Numeric(), nullable=True), schema='erp')
    op.add_column('invoice', sa.Column('write_off_amount', sa.Numeric(), nullable=True), schema='erp')
    op.add_column('invoice', sa.Column('location_id', sa.Text(), nullable=True), schema='erp')
    op.add_column('invoice', sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True), schema='erp')
    op.add_column('invoice', sa.Column('lines_confirmed_at', sa.DateTime(timezone=True), nullable=True, comment='when the record was last seen whole, with its lines; null: only a list row since it changed'), schema='erp')
    op.create_index(op.f('ix_invoice_location_id'), 'invoice', ['location_id'], unique=False, schema='erp')
    op.create_index(op.f('ix_invoice_sales_order_id'), 'invoice', ['sales_order_id'], unique=False, schema='erp')
    op.add_column('invoice_line', sa.Column('location_id', sa.Text(), nullable=True), schema='erp')
    op.create_index(op.f('ix_invoice_line_location_id'), 'invoice_line', ['location_id'], unique=False, schema='erp')
    op.add_column('product', sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True), schema='erp')
    op.add_column('vendor', sa.Column('custom_fields', postgresql.JSONB(astext_type=sa.Text()), nullable=True), schema='erp')


def downgrade() -> None:
    op.drop_column('vendor', 'custom_fields', schema='erp')
    op.drop_column('product', 'custom_fields', schema='erp')
    op.drop_index(op.f('ix_invoice_line_location_id'), table_name='invoice_line', schema='erp')
    op.drop_column('invoice_line', 'location_id', schema='erp')
    op.drop_index(op.f('ix_invoice_sales_order_id'), table_name='invoice', schema='erp')
    op.drop_index(op.f('ix_invoice_location_id'), table_name='invoice', schema='erp')
    op.drop_column('invoice', 'lines_confirmed_at', schema='erp')
    op.drop_column('invoice', 'custom_fields', schema='erp')
    op.drop_column('invoice', 'location_id', schema='erp')
    op.drop_column('invoice', 'write_off_amount', schema='erp')
    op.drop_column('invoice', 'credits_applied', schema='erp')
    op.drop_column('invoice', 'payment_made', schema='erp')
    op.drop_column('invoice', 'sales_order_id', schema='erp')
    op.drop_column('customer', 'custom_fields', schema='erp')
    op.drop_index(op.f('ix_stock_level_location_location_id'), table_name='stock_level_location', schema='erp')
    op.drop_table('stock_level_location', schema='erp')
    op.drop_index(op.f('ix_stock_adjustment_line_product_id'), table_name='stock_adjustment_line', schema='erp')
    op.drop_index(op.f('ix_stock_adjustment_line_location_id'), table_name='stock_adjustment_line', schema='erp')
    op.drop_table('stock_adjustment_line', schema='erp')
    op.drop_index(op.f('ix_sales_order_line_product_id'), table_name='sales_order_line', schema='erp')
    op.drop_index(op.f('ix_sales_order_line_location_id'), table_name='sales_order_line', schema='erp')
    op.drop_table('sales_order_line', schema='erp')
    op.drop_index(op.f('ix_price_list_price_product_id'), table_name='price_list_price', schema='erp')
    op.drop_table('price_list_price', schema='erp')
    op.drop_index(op.f('ix_customer_payment_application_invoice_id'), table_name='customer_payment_application', schema='erp')
    op.drop_table('customer_payment_application', schema='erp')
    op.drop_index(op.f('ix_credit_note_line_product_id'), table_name='credit_note_line', schema='erp')
    op.drop_index(op.f('ix_credit_note_line_location_id'), table_name='credit_note_line', schema='erp')
    op.drop_index(op.f('ix_credit_note_line_invoice_id'), table_name='credit_note_line', schema='erp')
    op.drop_table('credit_note_line', schema='erp')
    op.drop_index(op.f('ix_credit_note_application_invoice_id'), table_name='credit_note_application', schema='erp')
    op.drop_table('credit_note_application', schema='erp')
    op.drop_index(op.f('ix_bill_line_product_id'), table_name='bill_line', schema='erp')
    op.drop_index(op.f('ix_bill_line_location_id'), table_name='bill_line', schema='erp')
    op.drop_table('bill_line', schema='erp')
    op.drop_index('ix_user_live', table_name='user', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('user', schema='erp')
    op.drop_index('ix_stock_level_live', table_name='stock_level', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('stock_level', schema='erp')
    op.drop_index(op.f('ix_stock_adjustment_location_id'), table_name='stock_adjustment', schema='erp')
    op.drop_index('ix_stock_adjustment_live', table_name='stock_adjustment', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('stock_adjustment', schema='erp')
    op.drop_index(op.f('ix_sales_order_location_id'), table_name='sales_order', schema='erp')
    op.drop_index('ix_sales_order_live', table_name='sales_order', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_index(op.f('ix_sales_order_customer_id'), table_name='sales_order', schema='erp')
    op.drop_table('sales_order', schema='erp')
    op.drop_index('ix_price_list_live', table_name='price_list', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('price_list', schema='erp')
    op.drop_index(op.f('ix_location_parent_id'), table_name='location', schema='erp')
    op.drop_index('ix_location_live', table_name='location', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('location', schema='erp')
    op.drop_index(op.f('ix_customer_payment_location_id'), table_name='customer_payment', schema='erp')
    op.drop_index('ix_customer_payment_live', table_name='customer_payment', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_index(op.f('ix_customer_payment_customer_id'), table_name='customer_payment', schema='erp')
    op.drop_table('customer_payment', schema='erp')
    op.drop_index(op.f('ix_credit_note_location_id'), table_name='credit_note', schema='erp')
    op.drop_index('ix_credit_note_live', table_name='credit_note', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_index(op.f('ix_credit_note_customer_id'), table_name='credit_note', schema='erp')
    op.drop_table('credit_note', schema='erp')
    op.drop_index('ix_category_live', table_name='category', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('category', schema='erp')
    op.drop_index(op.f('ix_bill_vendor_id'), table_name='bill', schema='erp')
    op.drop_index(op.f('ix_bill_location_id'), table_name='bill', schema='erp')
    op.drop_index('ix_bill_live', table_name='bill', schema='erp', postgresql_where=sa.text('deleted_at is null'))
    op.drop_table('bill', schema='erp')
