"""Let a ticket be shared: co-handlers and departments below the lead, each with a part of its own."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ACTS = ("share", "sign_part", "answer_part", "end_part")

# What a part must be when it is given. The deadline of an overdue lead cannot hold a part; a day can.
WITHIN = """
CREATE FUNCTION subtask_is_within() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lead dispatches%ROWTYPE;
BEGIN
    SELECT * INTO lead FROM dispatches WHERE id = NEW.dispatch_id;
    IF TG_OP = 'INSERT' AND (lead.ended_at IS NOT NULL OR lead.answered_at IS NOT NULL) THEN
        RAISE EXCEPTION 'a part belongs to a ticket that is in hand'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'subtask_of_a_held_ticket';
    END IF;
    IF NEW.department_id = lead.department_id THEN
        RAISE EXCEPTION 'the lead is not its own co-handler'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'subtask_not_to_the_lead';
    END IF;
    IF NEW.due_at > lead.due_at
        AND NOT (lead.due_at <= NEW.given_at AND NEW.due_at <= NEW.given_at + interval '24 hours') THEN
        RAISE EXCEPTION 'a part is due inside the lead''s time'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'subtask_within_lead';
    END IF;
    IF TG_OP = 'INSERT' AND NOT EXISTS (SELECT 1 FROM departments WHERE id = NEW.department_id AND active) THEN
        RAISE EXCEPTION 'a part goes to an open department'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'subtask_to_an_open_department';
    END IF;
    IF TG_OP = 'INSERT' AND NEW.kind = 'forward' AND NOT EXISTS (
        WITH RECURSIVE above AS (
            SELECT parent_id, 1 AS level FROM departments WHERE id = NEW.department_id
            UNION ALL
            SELECT d.parent_id, above.level + 1 FROM departments d JOIN above ON d.id = above.parent_id
            WHERE above.level < 6
        ) SELECT 1 FROM above WHERE parent_id = lead.department_id
    ) THEN
        RAISE EXCEPTION 'a ticket is forwarded downwards only'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'subtask_goes_down';
    END IF;
    RETURN NEW;
END $$
"""

WITHIN_TRIGGER = """
CREATE TRIGGER subtask_is_within BEFORE INSERT OR UPDATE OF due_at, department_id, dispatch_id, kind ON subtasks
FOR EACH ROW EXECUTE FUNCTION subtask_is_within()
"""

# Whoever takes a ticket out of the lead's hands, its parts end with it.
END = """
CREATE FUNCTION subtasks_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(NEW.answered_at, NEW.ended_at) IS NOT NULL AND coalesce(OLD.answered_at, OLD.ended_at) IS NULL THEN
        UPDATE subtasks SET
            ended_at = coalesce(NEW.answered_at, NEW.ended_at),
            ending = CASE WHEN NEW.answered_at IS NULL THEN 'lapsed' ELSE 'left_out' END
        WHERE dispatch_id = NEW.id AND ended_at IS NULL;
    END IF;
    RETURN NULL;
END $$
"""

END_TRIGGER = """
CREATE TRIGGER subtasks_end AFTER UPDATE OF answered_at, ended_at ON dispatches
FOR EACH ROW EXECUTE FUNCTION subtasks_end()
"""

ANSWER_WAITS = """
CREATE FUNCTION answer_waits_for_parts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.left_out_why = '' AND EXISTS (
        SELECT 1 FROM subtasks WHERE dispatch_id = NEW.dispatch_id AND ended_at IS NULL
    ) THEN
        RAISE EXCEPTION 'an answer waits for its co-handlers, or says why not'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'answer_waits_for_parts';
    END IF;
    RETURN NEW;
END $$
"""

ANSWER_WAITS_TRIGGER = """
CREATE TRIGGER answer_waits_for_parts BEFORE INSERT ON answers
FOR EACH ROW EXECUTE FUNCTION answer_waits_for_parts()
"""

# Whoever did a part handled the ticket, and so did his department (0001, domain.md 3.2).
INDEPENDENT = """
CREATE OR REPLACE FUNCTION callback_is_independent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.done_by IS NOT NULL AND (
        EXISTS (
            SELECT 1 FROM journal WHERE ticket_id = NEW.ticket_id AND by_id = NEW.done_by AND act IN
            ('sign', 'send_back', 'answer', 'contact', 'rectify', 'dispatch', 'answer_directly', 'sign_part',
             'answer_part')
        ) OR EXISTS (
            SELECT 1 FROM memberships m JOIN dispatches d ON d.department_id = m.department_id
            WHERE m.user_id = NEW.done_by AND d.ticket_id = NEW.ticket_id
        ) OR EXISTS (
            SELECT 1 FROM memberships m JOIN subtasks s ON s.department_id = m.department_id
            WHERE m.user_id = NEW.done_by AND s.ticket_id = NEW.ticket_id
        )
    ) THEN
        RAISE EXCEPTION 'whoever handled a ticket cannot record its callback'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'callback_is_independent';
    END IF;
    RETURN NEW;
END $$
"""

INDEPENDENT_BEFORE = """
CREATE OR REPLACE FUNCTION callback_is_independent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.done_by IS NOT NULL AND (
        EXISTS (
            SELECT 1 FROM journal WHERE ticket_id = NEW.ticket_id AND by_id = NEW.done_by AND act IN
            ('sign', 'send_back', 'answer', 'contact', 'rectify', 'dispatch', 'answer_directly')
        ) OR EXISTS (
            SELECT 1 FROM memberships m JOIN dispatches d ON d.department_id = m.department_id
            WHERE m.user_id = NEW.done_by AND d.ticket_id = NEW.ticket_id
        )
    ) THEN
        RAISE EXCEPTION 'whoever handled a ticket cannot record its callback'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'callback_is_independent';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Create the table of parts and the triggers that hold them to the lead."""
    op.create_table(
        "subtasks",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("dispatch_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False, comment="what is to be done; names nobody"),
        sa.Column(
            "relay_number", sa.Text(), nullable=True, comment="中间号: reaches the citizen while the part is open"
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("given_by", sa.BigInteger(), nullable=True),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("signed_by", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.Text(), server_default="", nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_by", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("ended_words", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("kind IN ('assist', 'forward')", name=op.f("ck_subtasks_kind_known")),
        sa.CheckConstraint(
            "ending IN ('answered', 'left_out', 'withdrawn', 'lapsed')", name=op.f("ck_subtasks_ending_known")
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (ending IS NULL)", name=op.f("ck_subtasks_ended_has_reason")),
        sa.CheckConstraint(
            "(answered_at IS NOT NULL) = (coalesce(ending, '') = 'answered')",
            name=op.f("ck_subtasks_answered_is_ended"),
        ),
        sa.CheckConstraint("answered_at IS NULL OR answer <> ''", name=op.f("ck_subtasks_answered_has_words")),
        sa.CheckConstraint(
            "answered_at IS NULL OR signed_at IS NOT NULL", name=op.f("ck_subtasks_signed_before_answered")
        ),
        sa.CheckConstraint("words <> ''", name=op.f("ck_subtasks_says_what_to_do")),
        sa.CheckConstraint("relay_number IS NULL OR kind = 'forward'", name=op.f("ck_subtasks_relay_only_below")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_subtasks_ticket_id")),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_subtasks_dispatch_id")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_subtasks_department_id")),
        sa.ForeignKeyConstraint(["given_by"], ["users.id"], name=op.f("fk_subtasks_given_by")),
        sa.ForeignKeyConstraint(["signed_by"], ["users.id"], name=op.f("fk_subtasks_signed_by")),
        sa.ForeignKeyConstraint(["answered_by"], ["users.id"], name=op.f("fk_subtasks_answered_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subtasks")),
    )
    op.create_index(
        "uq_subtasks_open",
        "subtasks",
        ["dispatch_id", "department_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "uq_subtasks_relay_number",
        "subtasks",
        ["relay_number"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "ix_subtasks_desk",
        "subtasks",
        ["department_id", "due_at", "id"],
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_subtasks_department_id", "subtasks", ["department_id", sa.literal_column("ticket_id DESC")])
    op.create_index("ix_subtasks_ticket_id", "subtasks", ["ticket_id", "id"])
    op.create_index("ix_subtasks_given_at", "subtasks", ["given_at"])
    op.add_column(
        "answers",
        sa.Column(
            "left_out_why",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="why the lead did not wait for open parts; a trigger asks for it",
        ),
    )
    for statement in (
        WITHIN,
        WITHIN_TRIGGER,
        END,
        END_TRIGGER,
        ANSWER_WAITS,
        ANSWER_WAITS_TRIGGER,
        INDEPENDENT,
    ):
        op.execute(statement)
    _acts(add=ACTS)


def downgrade() -> None:
    """Forget every part; lines of the journal stay, and so do the leads' answers."""
    _acts(remove=ACTS)
    op.execute(INDEPENDENT_BEFORE)
    op.execute("DROP TRIGGER answer_waits_for_parts ON answers")
    op.execute("DROP FUNCTION answer_waits_for_parts()")
    op.execute("DROP TRIGGER subtasks_end ON dispatches")
    op.execute("DROP FUNCTION subtasks_end()")
    op.drop_column("answers", "left_out_why")
    op.drop_table("subtasks")
    op.execute("DROP FUNCTION subtask_is_within()")


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
