"""Keep from which telephones a relay number may be called, and each call by it with its end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

# A relay number reaches the citizen while its part is open and at no other time (domain.md 7 b).
NEEDS_OPEN_PART = """
CREATE FUNCTION relay_call_needs_open_part() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM subtasks WHERE id = NEW.subtask_id AND ended_at IS NULL AND relay_number IS NOT NULL FOR SHARE
    ) THEN
        RAISE EXCEPTION 'a relay number is called while its part is open'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'relay_call_needs_open_part';
    END IF;
    RETURN NEW;
END $$
"""
NEEDS_OPEN_PART_TRIGGER = """
CREATE TRIGGER relay_call_needs_open_part BEFORE INSERT ON relay_calls
FOR EACH ROW EXECUTE FUNCTION relay_call_needs_open_part()
"""


def upgrade() -> None:
    """Make the two tables."""
    op.create_table(
        "relay_lines",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("subtask_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False, comment="who calls from it; the last to say so"),
        sa.Column(
            "phone_index", sa.LargeBinary(), nullable=False, comment="keyed fingerprint of the telephone's number"
        ),
        sa.Column("phone_masked", sa.Text(), nullable=False),
        sa.Column("announced_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subtask_id"], ["subtasks.id"], name=op.f("fk_relay_lines_subtask_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_relay_lines_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_lines")),
    )
    op.create_index("uq_relay_lines_phone", "relay_lines", ["subtask_id", "phone_index"], unique=True)
    op.create_table(
        "relay_calls",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("subtask_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False, comment="who called"),
        sa.Column("phone_masked", sa.Text(), nullable=False, comment="from which telephone"),
        sa.Column("call_key", sa.Text(), nullable=False, comment="the carrier's name for the call"),
        sa.Column("day", sa.Date(), nullable=False, comment="the local day on which it began"),
        sa.Column("of_day", sa.BigInteger(), nullable=False, comment="the how manieth of the part on that day"),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("talked_s", sa.BigInteger(), nullable=False, server_default="0", comment="seconds of talk"),
        sa.CheckConstraint(
            "ending IN ('answered', 'busy', 'no_answer', 'failed', 'lost')", name=op.f("ck_relay_calls_ending_known")
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name=op.f("ck_relay_calls_ended_has_ending")),
        sa.CheckConstraint("of_day BETWEEN 1 AND 10", name=op.f("ck_relay_calls_bounded_a_day")),
        sa.CheckConstraint(
            "talked_s >= 0 AND (talked_s = 0 OR ending = 'answered')",
            name=op.f("ck_relay_calls_talked_when_answered"),
        ),
        sa.CheckConstraint("char_length(call_key) BETWEEN 1 AND 100", name=op.f("ck_relay_calls_call_key_length")),
        sa.ForeignKeyConstraint(["subtask_id"], ["subtasks.id"], name=op.f("fk_relay_calls_subtask_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_relay_calls_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_calls")),
        sa.UniqueConstraint("call_key", name=op.f("uq_relay_calls_call_key")),
    )
    op.create_index("uq_relay_calls_of_day", "relay_calls", ["subtask_id", "day", "of_day"], unique=True)
    op.create_index(
        "ix_relay_calls_open",
        "relay_calls",
        ["started_at", "id"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.execute(NEEDS_OPEN_PART)
    op.execute(NEEDS_OPEN_PART_TRIGGER)


def downgrade() -> None:
    """Forget them; the journal keeps its lines."""
    op.drop_table("relay_calls")
    op.drop_table("relay_lines")
    op.execute("DROP FUNCTION relay_call_needs_open_part()")
