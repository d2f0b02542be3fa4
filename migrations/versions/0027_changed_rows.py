"""Rows that changed lately are found by an index"""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

TABLES = (
    "bill", "category", "credit_note", "customer", "customer_payment", "invoice", "location", "price_list", "product",
    "sales_order", "stock_adjustment", "stock_level", "user", "vendor",
)


def upgrade() -> None:
    for name in TABLES:
        op.create_index(f'ix_{name}_changed_at', name, ['changed_at'], unique=False, schema='erp')


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_index(f'ix_{name}_changed_at', table_name=name, schema='erp')
