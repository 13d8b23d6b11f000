"""Let a ticket name the public service item that it is about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the list of items and the ticket's column; the tickets of before name none."""
    op.create_table(
        "service_items",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="what rows of the dispatch catalogue name it by"),
        sa.Column(
            "department", sa.Text(), server_default="", nullable=False, comment="code of the unit that offers it"
        ),
        sa.Column("retired_on", sa.Date(), nullable=True),
        sa.CheckConstraint("code ~ '^[A-Za-z0-9][A-Za-z0-9_-]{1,39}$'", name=op.f("ck_service_items_code_form")),
        sa.CheckConstraint("char_length(name) BETWEEN 2 AND 200", name=op.f("ck_service_items_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_items")),
        sa.UniqueConstraint("code", name=op.f("uq_service_items_code")),
        sa.UniqueConstraint("name", name=op.f("uq_service_items_name")),
    )
    op.add_column(
        "tickets",
        sa.Column("service_item", sa.Text(), nullable=True, comment="the public service item that it is about"),
    )
    op.create_foreign_key(op.f("fk_tickets_service_item"), "tickets", "service_items", ["service_item"], ["name"])


def downgrade() -> None:
    """Take the column and the list away; what tickets named is lost."""
    op.drop_constraint(op.f("fk_tickets_service_item"), "tickets", type_="foreignkey")
    op.drop_column("tickets", "service_item")
    op.drop_table("service_items")
