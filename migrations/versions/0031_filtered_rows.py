"""Rows are found by number, SKU, name and status by indexes"""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

# Of a longer value the beginning is indexed: an index entry has room for no text of any length.
FOLDED = (
    ("bill", "number"), ("category", "name"), ("credit_note", "number"), ("customer", "name"),
    ("customer_payment", "number"), ("invoice", "number"), ("location", "name"), ("price_list", "name"),
    ("product", "name"), ("product", "sku"), ("sales_order", "number"), ("stock_adjustment", "reference_number"),
    ("stock_level", "sku"), ("user", "name"), ("vendor", "name"),
)
WITH_STATUS = (
    "bill", "category", "credit_note", "customer", "customer_payment", "invoice", "location", "price_list", "product",
    "sales_order", "stock_adjustment", "user", "vendor",
)


def upgrade() -> None:
    for table, column in FOLDED:
        op.execute(f"create index ix_{table}_{column} on erp.{table} (lower(left({column}, 200)) text_pattern_ops)")
    for table in WITH_STATUS:
        op.execute(f"create index ix_{table}_status on erp.{table} (left(status, 200), source, source_id)")


def downgrade() -> None:
    for table in reversed(WITH_STATUS):
        op.execute(f"drop index erp.ix_{table}_status")
    for table, column in reversed(FOLDED):
        op.execute(f"drop index erp.ix_{table}_{column}")
