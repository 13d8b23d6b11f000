"""Keep example sentences that an administrator writes for a category."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "category_examples",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("category_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "body",
            sa.Text(),
            nullable=False,
            comment="without personal data: they are taken out before it is kept",
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("char_length(body) BETWEEN 5 AND 500", name=op.f("ck_category_examples_body_length")),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_category_examples_by_id")),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name=op.f("fk_category_examples_category_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_category_examples")),
        sa.UniqueConstraint("category_id", "body", name=op.f("uq_category_examples_category_id_body")),
    )


def downgrade() -> None:
    """Forget the sentences."""
    op.drop_table("category_examples")
