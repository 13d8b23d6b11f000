"""Let a person of the hotline read an answer before the citizen is called; know which answers say the same."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ACTS = ("clear_answer", "send_back_answer")

# As for tickets: each statement writes its net change once (0001).
COUNT = """
CREATE FUNCTION count_vettings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO counter_deltas (name, delta) SELECT 'vettings.waiting', count(*) FROM new_rows
        WHERE state = 'waiting' HAVING count(*) > 0;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO counter_deltas (name, delta) SELECT 'vettings.waiting', sum(delta) FROM (
            SELECT 1 AS delta FROM new_rows WHERE state = 'waiting'
            UNION ALL SELECT -1 FROM old_rows WHERE state = 'waiting'
        ) AS changed HAVING coalesce(sum(delta), 0) <> 0;
    ELSE
        INSERT INTO counter_deltas (name, delta) SELECT 'vettings.waiting', -count(*) FROM old_rows
        WHERE state = 'waiting' HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$
"""

# An answer that is being read is nobody's to call about yet.
CALLS_WAIT = """
CREATE FUNCTION callback_waits_for_vetting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM vettings WHERE dispatch_id = NEW.dispatch_id AND state = 'waiting') THEN
        RAISE EXCEPTION 'a callback waits until the answer has been read'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'callback_waits_for_vetting';
    END IF;
    RETURN NEW;
END $$
"""

CALLS_WAIT_TRIGGER = """
CREATE TRIGGER callback_waits_for_vetting BEFORE INSERT ON callbacks
FOR EACH ROW EXECUTE FUNCTION callback_waits_for_vetting()
"""


def upgrade() -> None:
    """Create the table; let an answer be sent back, and be found by its words."""
    op.drop_constraint(op.f("uq_answers_dispatch_id"), "answers")
    op.add_column(
        "answers",
        sa.Column(
            "sent_back_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="a reader of the hotline did not let it pass",
        ),
    )
    op.add_column(
        "answers",
        sa.Column(
            "fingerprint",
            sa.Text(),
            sa.Computed("md5(regexp_replace(public_answer, '[^㐀-鿿A-Za-z0-9]', '', 'g'))", persisted=True),
            nullable=False,
            comment="of its letters and figures alone",
        ),
    )
    op.create_index(
        "uq_answers_dispatch_id",
        "answers",
        ["dispatch_id"],
        unique=True,
        postgresql_where=sa.text("sent_back_at IS NULL"),
    )
    op.create_index("ix_answers_fingerprint", "answers", ["fingerprint"])
    op.create_table(
        "vettings",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("dispatch_id", sa.BigInteger(), nullable=False),
        sa.Column("answer_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False, comment="why this answer is read"),
        sa.Column(
            "doubts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="values of Doubt",
        ),
        sa.Column("answered_by", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, comment="the hotline's own limit"),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("words", sa.Text(), server_default="", nullable=False, comment="why it was sent back"),
        sa.CheckConstraint("state IN ('waiting', 'passed', 'sent_back')", name=op.f("ck_vettings_state_known")),
        sa.CheckConstraint("(state = 'waiting') = (decided_at IS NULL)", name=op.f("ck_vettings_decided_has_time")),
        sa.CheckConstraint("state <> 'sent_back' OR words <> ''", name=op.f("ck_vettings_sent_back_has_words")),
        sa.CheckConstraint(
            "decided_by IS DISTINCT FROM answered_by OR answered_by IS NULL", name=op.f("ck_vettings_two_persons")
        ),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_vettings_ticket_id")),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_vettings_dispatch_id")),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], name=op.f("fk_vettings_answer_id")),
        sa.ForeignKeyConstraint(["answered_by"], ["users.id"], name=op.f("fk_vettings_answered_by")),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name=op.f("fk_vettings_decided_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vettings")),
        sa.UniqueConstraint("answer_id", name=op.f("uq_vettings_answer_id")),
    )
    op.create_index(
        "uq_vettings_waiting", "vettings", ["ticket_id"], unique=True, postgresql_where=sa.text("state = 'waiting'")
    )
    op.create_index("ix_vettings_due_at", "vettings", ["due_at", "id"], postgresql_where=sa.text("state = 'waiting'"))
    op.create_index(
        "ix_vettings_decided_at",
        "vettings",
        [sa.literal_column("decided_at DESC"), sa.literal_column("id DESC")],
        postgresql_where=sa.text("decided_at IS NOT NULL"),
    )
    op.create_index("ix_vettings_dispatch_id", "vettings", ["dispatch_id", "id"])
    op.execute(COUNT)
    for event, tables in (
        ("INSERT", "NEW TABLE AS new_rows"),
        ("UPDATE", "OLD TABLE AS old_rows NEW TABLE AS new_rows"),
        ("DELETE", "OLD TABLE AS old_rows"),
    ):
        op.execute(
            f"CREATE TRIGGER count_vettings_{event.lower()} AFTER {event} ON vettings REFERENCING {tables}"
            " FOR EACH STATEMENT EXECUTE FUNCTION count_vettings()"
        )
    op.execute(CALLS_WAIT)
    op.execute(CALLS_WAIT_TRIGGER)
    _acts(add=ACTS)


def downgrade() -> None:
    """Forget what readers said, and every answer that one of them sent back: a dispatch had only one answer then.

    An answer that is being read has no callback yet and no reader any more, so going down is refused while one is.
    """
    if op.get_bind().scalar(sa.text("SELECT count(*) FROM vettings WHERE state = 'waiting'")):
        raise RuntimeError("answers are waiting to be read: pass them or send them back first")
    _acts(remove=ACTS)
    op.execute("DROP TRIGGER callback_waits_for_vetting ON callbacks")
    op.execute("DROP FUNCTION callback_waits_for_vetting()")
    op.drop_table("vettings")
    op.execute("DROP FUNCTION count_vettings()")
    op.execute("DELETE FROM counters WHERE name = 'vettings.waiting'")
    op.execute("DELETE FROM counter_deltas WHERE name = 'vettings.waiting'")
    op.drop_index("ix_answers_fingerprint", table_name="answers")
    op.drop_index("uq_answers_dispatch_id", table_name="answers")
    op.execute("DELETE FROM answers WHERE sent_back_at IS NOT NULL")
    op.drop_column("answers", "fingerprint")
    op.drop_column("answers", "sent_back_at")
    op.create_unique_constraint(op.f("uq_answers_dispatch_id"), "answers", ["dispatch_id"])


def _acts(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Let the journal know more acts, or fewer; lines that were written stay, for the journal is never changed."""
    written = op.get_bind().scalar(
        sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_journal_act_known'")
    )
    known = [act for act in re.findall(r"'([a-z_]+)'", str(written)) if act not in remove]
    allowed = ", ".join(f"'{act}'" for act in [*known, *(act for act in add if act not in known)])
    op.drop_constraint(op.f("ck_journal_act_known"), "journal")
    # Going down, what was written before stays as it is: new lines alone are held to the shorter list.
    late = " NOT VALID" if remove else ""
    op.execute(f"ALTER TABLE journal ADD CONSTRAINT ck_journal_act_known CHECK (act IN ({allowed})){late}")
