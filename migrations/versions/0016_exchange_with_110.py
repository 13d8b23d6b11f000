"""Keep what crosses between the hotline and 110: both numbers, the final owner, its reply."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ACTS = ("receive_transfer", "settle_transfer")
ROLES = (("users", "ck_users_role_known"), ("api_tokens", "ck_api_tokens_role_known"))

# What went to another line before this table was: the ticket tells where to, the journal who did it.
FILL = """
INSERT INTO transfers (ticket_id, direction, line, other_number, manner, made_at, made_by)
SELECT t.id, 'out', t.transfer_to, coalesce(t.transfer_number, ''), 'call', j.at, j.by_id
FROM tickets t CROSS JOIN LATERAL (
    SELECT at, by_id FROM journal WHERE ticket_id = t.id AND act = 'transfer' ORDER BY id DESC LIMIT 1
) j WHERE t.outcome = 'transferred'
"""


def _listed(name: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> str:
    """Return the values of a list constraint with these added or taken away, whatever else was added meanwhile."""
    written = op.get_bind().scalar(
        sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name").bindparams(name=name)
    )
    known = [value for value in re.findall(r"'([a-z_]+)'", str(written)) if value not in remove]
    return ", ".join(f"'{value}'" for value in [*known, *(value for value in add if value not in known)])


def _allow(table: str, name: str, column: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    allowed = _listed(name, add=add, remove=remove)
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IN ({allowed})) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def upgrade() -> None:
    """Make the table of transfers, fill it with what went out before, and know the role of the other side's machine."""
    op.create_table(
        "transfers",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False, comment="110, 119, 120, 122 or the name of another hotline"),
        sa.Column(
            "other_number", sa.Text(), server_default="", nullable=False, comment="the other side's record number"
        ),
        sa.Column("manner", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=True),
        sa.Column("final_owner", sa.Text(), nullable=True),
        sa.Column("owner_name", sa.Text(), server_default="", nullable=False, comment="the unit, in words"),
        sa.Column("reply", sa.Text(), server_default="", nullable=False, comment="what it did, redacted"),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("direction IN ('in', 'out')", name=op.f("ck_transfers_direction_known")),
        sa.CheckConstraint("manner IN ('call', 'conference', 'exchange')", name=op.f("ck_transfers_manner_known")),
        sa.CheckConstraint(
            "final_owner IN ('hotline', 'other_line', 'both')", name=op.f("ck_transfers_final_owner_known")
        ),
        sa.CheckConstraint("line <> ''", name=op.f("ck_transfers_line_named")),
        sa.CheckConstraint("direction = 'out' OR other_number <> ''", name=op.f("ck_transfers_incoming_has_number")),
        sa.CheckConstraint("(settled_at IS NULL) = (final_owner IS NULL)", name=op.f("ck_transfers_settled_has_owner")),
        sa.CheckConstraint("(final_owner IS NULL) = (owner_name = '')", name=op.f("ck_transfers_owner_named")),
        sa.ForeignKeyConstraint(["made_by"], ["users.id"], name=op.f("fk_transfers_made_by")),
        sa.ForeignKeyConstraint(["settled_by"], ["users.id"], name=op.f("fk_transfers_settled_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_transfers_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfers")),
    )
    op.create_index(
        "uq_transfers_incoming",
        "transfers",
        ["line", "other_number"],
        unique=True,
        postgresql_where=sa.text("direction = 'in'"),
    )
    op.create_index(
        "ix_transfers_other_number",
        "transfers",
        ["other_number", "id"],
        unique=False,
        postgresql_where=sa.text("other_number <> ''"),
    )
    op.create_index("ix_transfers_ticket_id", "transfers", ["ticket_id", "id"], unique=False)
    op.create_index(
        "ix_transfers_unsettled",
        "transfers",
        ["direction", "id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NULL"),
    )
    op.execute(FILL)
    _allow("journal", "ck_journal_act_known", "act", add=ACTS)
    for table, name in ROLES:
        _allow(table, name, "role", add=("exchange",))
    op.drop_constraint(op.f("ck_api_tokens_speaks_for_one"), "api_tokens")
    op.create_check_constraint(
        op.f("ck_api_tokens_speaks_for_one"), "api_tokens", "(role IN ('device', 'exchange')) = (user_id IS NULL)"
    )


def downgrade() -> None:
    """Take transfers away; refused by the database while the journal tells of them or a token of theirs is kept."""
    op.drop_constraint(op.f("ck_api_tokens_speaks_for_one"), "api_tokens")
    op.create_check_constraint(
        op.f("ck_api_tokens_speaks_for_one"), "api_tokens", "(role = 'device') = (user_id IS NULL)"
    )
    for table, name in ROLES:
        _allow(table, name, "role", remove=("exchange",))
    _allow("journal", "ck_journal_act_known", "act", remove=ACTS)
    op.drop_table("transfers")
