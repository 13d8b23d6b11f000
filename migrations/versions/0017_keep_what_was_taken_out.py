"""Keep a line for every export and print: who, what, how many lines, when.

Revision ID: 0017
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_TAKEN = ("tickets_csv", "tickets_xlsx", "departments_csv", "catalogue_xlsx", "words_csv", "ticket_print")
_KEPT = """
CREATE FUNCTION exports_are_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the record of exports is never changed and never deleted'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'exports_are_kept';
END $$
"""
_TRIGGER = """
CREATE TRIGGER exports_are_kept BEFORE UPDATE OR DELETE ON exports
FOR EACH ROW EXECUTE FUNCTION exports_are_kept()
"""


def upgrade() -> None:
    """Make the record and let nothing in it be changed."""
    op.create_table(
        "exports",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_id", sa.BigInteger(), nullable=False),
        sa.Column("by_role", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), server_default="", nullable=False, comment="query, edition or number; redacted"),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="lines that went out, without the heading"),
        sa.CheckConstraint(f"what IN ({', '.join(repr(one) for one in _TAKEN)})", name=op.f("ck_exports_what_known")),
        sa.CheckConstraint("rows >= 0", name=op.f("ck_exports_rows_counted")),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_exports_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_exports")),
    )
    op.create_index("ix_exports_by_id_id", "exports", ["by_id", "id"], unique=False)
    op.execute(_KEPT)
    op.execute(_TRIGGER)


def downgrade() -> None:
    """Drop the record with everything in it: who goes back to a version without it keeps a copy of the table first."""
    op.drop_table("exports")
    op.execute("DROP FUNCTION exports_are_kept()")
