"""Keep where a deadline was before a declared day or an edition moved it, and how far an order has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns that are empty at first; orders that are carried out already looked at what they moved."""
    op.add_column(
        "dispatches",
        sa.Column(
            "moved_at", sa.DateTime(timezone=True), comment="a declared day or an edition moved the deadline last"
        ),
    )
    op.add_column(
        "dispatches",
        sa.Column("moved_from", sa.DateTime(timezone=True), comment="where the deadline was before that"),
    )
    # The new columns are empty: nothing can break it, so that it needs no long look at a big table.
    op.execute(
        "ALTER TABLE dispatches ADD CONSTRAINT ck_dispatches_moved_has_before"
        " CHECK ((moved_at IS NULL) = (moved_from IS NULL)) NOT VALID"
    )
    op.execute("ALTER TABLE dispatches VALIDATE CONSTRAINT ck_dispatches_moved_has_before")
    op.add_column(
        "recounts",
        sa.Column(
            "total", sa.BigInteger(), server_default="0", nullable=False, comment="how many open tickets are looked at"
        ),
    )
    op.add_column("recounts", sa.Column("looked", sa.BigInteger(), server_default="0", nullable=False))
    op.alter_column(
        "recounts",
        "expected",
        comment="how many tickets the page said would move at most",
        existing_comment="how many tickets the page promised to move",
    )
    op.execute("UPDATE recounts SET looked = moved, total = greatest(moved, expected)")
    op.create_check_constraint(op.f("ck_recounts_moved_was_looked_at"), "recounts", "moved <= looked")


def downgrade() -> None:
    """Forget both; the journals keep what moved from when to when."""
    op.drop_constraint(op.f("ck_recounts_moved_was_looked_at"), "recounts", type_="check")
    op.alter_column(
        "recounts",
        "expected",
        comment="how many tickets the page promised to move",
        existing_comment="how many tickets the page said would move at most",
    )
    op.drop_column("recounts", "looked")
    op.drop_column("recounts", "total")
    op.drop_constraint(op.f("ck_dispatches_moved_has_before"), "dispatches", type_="check")
    op.drop_column("dispatches", "moved_from")
    op.drop_column("dispatches", "moved_at")
