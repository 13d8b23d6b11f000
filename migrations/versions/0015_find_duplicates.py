"""Find likely duplicates in the database: sketches of recent tickets.

Revision ID: 0015
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of sketches; the catch-up fills it for the tickets that are there."""
    op.create_table(
        "ticket_sketches",
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "registered_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="of the ticket; what is too old is forgotten by it",
        ),
        sa.Column("version", sa.SmallInteger(), nullable=False, comment="classifier.duplicates.SKETCH_VERSION"),
        sa.Column("keys", sa.ARRAY(sa.Integer()), nullable=False, comment="31 bits of each number of the sketch"),
        sa.CheckConstraint("cardinality(keys) <= 64", name=op.f("ck_ticket_sketches_keys_bounded")),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_sketches_ticket_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_ticket_sketches")),
    )
    op.create_index("ix_ticket_sketches_keys", "ticket_sketches", ["keys"], unique=False, postgresql_using="gin")
    op.create_index("ix_ticket_sketches_registered_at", "ticket_sketches", ["registered_at"], unique=False)
    # Enough of the most common elements that a question can leave out every number that says nothing.
    op.execute("ALTER TABLE ticket_sketches ALTER COLUMN keys SET STATISTICS 300")


def downgrade() -> None:
    """Take the sketches away; they are made from the tickets and can be made again."""
    op.execute("DELETE FROM installation_settings WHERE name = 'ticket_sketches'")
    op.drop_index("ix_ticket_sketches_registered_at", table_name="ticket_sketches")
    op.drop_index("ix_ticket_sketches_keys", table_name="ticket_sketches", postgresql_using="gin")
    op.drop_table("ticket_sketches")
