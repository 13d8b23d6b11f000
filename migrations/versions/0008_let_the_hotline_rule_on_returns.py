"""Let the hotline rule on returns."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

#: What the journal knows from now on; each makes a person one of those who handled the ticket (domain.md 3.2).
ACTS = ("ask_return", "withdraw_return", "refuse_return")

# Does this person work for the unit, for one above it or for one below it?
BELONGS = """
CREATE FUNCTION belongs_to(person bigint, unit bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH RECURSIVE above AS (
        SELECT id, parent_id FROM departments WHERE id = unit
        UNION SELECT d.id, d.parent_id FROM departments d JOIN above ON d.id = above.parent_id
    ), below AS (
        SELECT id FROM departments WHERE id = unit
        UNION SELECT d.id FROM departments d JOIN below ON d.parent_id = below.id
    )
    SELECT EXISTS (
        SELECT 1 FROM memberships m WHERE m.user_id = person
        AND (m.department_id IN (SELECT id FROM above) OR m.department_id IN (SELECT id FROM below))
    )
$$
"""

# Rules: domain.md 2.6 (2) and (4). The actions say them in words; here the database holds them against every other
# way in. The row of the dispatch is locked, so that a return and an answer at the same moment wait for each other.
RETURN_ASKED = """
CREATE FUNCTION return_is_of_who_holds() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE held dispatches%ROWTYPE;
BEGIN
    IF NEW.state <> 'open' THEN
        RETURN NEW;
    END IF;
    SELECT * INTO held FROM dispatches WHERE id = NEW.dispatch_id FOR UPDATE;
    IF held.ticket_id <> NEW.ticket_id OR held.department_id <> NEW.department_id OR NOT held.is_current
        OR held.answered_at IS NOT NULL OR held.ended_at IS NOT NULL THEN
        RAISE EXCEPTION 'only the unit that holds an unanswered ticket can return it'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'return_is_of_who_holds';
    END IF;
    IF NEW.asked_at > (held.steps -> 'return' ->> 'due')::timestamptz THEN
        RAISE EXCEPTION 'the window for returns is over'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'return_is_in_its_window';
    END IF;
    RETURN NEW;
END $$
"""

RETURN_RULED = """
CREATE FUNCTION return_is_ruled_from_outside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'open' THEN
        RAISE EXCEPTION 'a return is ruled on once'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'return_is_ruled_once';
    END IF;
    IF NEW.state IN ('upheld', 'refused')
        AND (NEW.decided_by IS NULL OR belongs_to(NEW.decided_by, NEW.department_id)) THEN
        RAISE EXCEPTION 'whoever belongs to the returning unit cannot rule on its return'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'return_is_ruled_from_outside';
    END IF;
    RETURN NEW;
END $$
"""

ANSWER_WAITS = """
CREATE FUNCTION answer_waits_for_the_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM dispatches WHERE id = NEW.dispatch_id FOR UPDATE;
    IF EXISTS (SELECT 1 FROM returns WHERE dispatch_id = NEW.dispatch_id AND state = 'open') THEN
        RAISE EXCEPTION 'a ticket is not answered while its return is open'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'answer_waits_for_the_return';
    END IF;
    RETURN NEW;
END $$
"""

# A stored counter, as for tickets and callbacks: the menu shows how many returns wait.
COUNT_RETURNS = """
CREATE FUNCTION count_returns() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE change integer := 0;
BEGIN
    IF TG_OP <> 'DELETE' AND NEW.state = 'open' THEN change := change + 1; END IF;
    IF TG_OP <> 'INSERT' AND OLD.state = 'open' THEN change := change - 1; END IF;
    IF change <> 0 THEN INSERT INTO counter_deltas (name, delta) VALUES ('returns.open', change); END IF;
    RETURN NULL;
END $$
"""

TRIGGERS = (
    ("return_is_of_who_holds", "BEFORE INSERT ON returns"),
    ("return_is_ruled_from_outside", "BEFORE UPDATE ON returns"),
    ("answer_waits_for_the_return", "BEFORE INSERT ON answers"),
    ("count_returns", "AFTER INSERT OR UPDATE OR DELETE ON returns"),
)

# Until now a return took effect at once: these are kept as upheld by nobody, in the words of the journal.
OLD_RETURNS = """
INSERT INTO returns (ticket_id, dispatch_id, department_id, reason, words, basis, suggested_id, asked_by, asked_at,
                     decide_due_at, state, decided_at)
SELECT j.ticket_id, d.id, d.department_id,
       CASE WHEN j.details ->> 'reason' IN
           ('not_our_duty', 'not_our_area', 'cross_duty', 'facts_missing', 'duplicate')
           THEN j.details ->> 'reason' ELSE 'not_our_duty' END,
       left(coalesce(nullif(j.note, ''), '—'), 2000), left(coalesce(nullif(j.details ->> 'basis', ''), '—'), 1000),
       (SELECT min(s.id) FROM departments s WHERE s.name = j.details ->> 'suggested' AND s.id <> d.department_id),
       j.by_id, j.at, j.at, 'upheld', j.at
FROM (SELECT *, row_number() OVER (PARTITION BY ticket_id ORDER BY id) AS n FROM journal WHERE act = 'send_back') j
JOIN (SELECT *, row_number() OVER (PARTITION BY ticket_id ORDER BY id) AS n FROM dispatches
      WHERE ending = 'sent_back') d ON d.ticket_id = j.ticket_id AND d.n = j.n
"""

COUNT_OLD_RETURNS = """
UPDATE tickets SET returned = c.n
FROM (SELECT ticket_id, count(*) AS n FROM dispatches WHERE ending = 'sent_back' GROUP BY ticket_id) c
WHERE tickets.id = c.ticket_id
"""


def _acts(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Change the list of acts that the journal knows, whatever else was added to it meanwhile."""
    written = op.get_bind().scalar(
        sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_journal_act_known'")
    )
    allowed = _listed(str(written), add=add, remove=remove)
    op.drop_constraint(op.f("ck_journal_act_known"), "journal")
    # Going down, what was written before stays as it is: new lines alone are held to the shorter list.
    late = " NOT VALID" if remove else ""
    op.execute(f"ALTER TABLE journal ADD CONSTRAINT ck_journal_act_known CHECK (act IN ({allowed})){late}")


def _handling(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Change the list of acts that keep a person from a ticket's callback (domain.md 3.2)."""
    written = str(op.get_bind().scalar(sa.text("SELECT pg_get_functiondef('callback_is_independent'::regproc)")))
    listed = re.search(r"act IN\s*\(([^)]*)\)", written)
    assert listed is not None  # noqa: S101 - the first migration wrote it so
    op.execute(written.replace(listed[1], _listed(listed[1], add=add, remove=remove)))


def _listed(written: str, *, add: tuple[str, ...], remove: tuple[str, ...]) -> str:
    known = [act for act in re.findall(r"'([a-z_]+)'", written) if act not in remove]
    return ", ".join(f"'{act}'" for act in [*known, *(act for act in add if act not in known)])


def upgrade() -> None:
    """Create the table of returns with what the database holds of its rules; count what was returned before."""
    op.add_column(
        "tickets",
        sa.Column(
            "returned", sa.BigInteger(), server_default="0", nullable=False, comment="how often a unit gave it back"
        ),
    )
    op.create_check_constraint(op.f("ck_tickets_returned_counts"), "tickets", "returned >= 0")
    op.create_table(
        "returns",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("dispatch_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False, comment="who returns it"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False, comment="law, 三定方案 or 权责清单, with the article"),
        sa.Column("suggested_id", sa.BigInteger(), nullable=True, comment="whose duty it is, they say"),
        sa.Column("asked_by", sa.BigInteger(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "decide_due_at", sa.DateTime(timezone=True), nullable=False, comment="until when the hotline should rule"
        ),
        sa.Column(
            "decide_steps",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="why that is so",
        ),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("decided_by", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decision", sa.Text(), server_default="", nullable=False, comment="the ruling in words"),
        sa.Column("sent_to_id", sa.BigInteger(), nullable=True, comment="who got it next, if at once"),
        sa.CheckConstraint(
            "reason IN ('not_our_duty', 'not_our_area', 'cross_duty', 'facts_missing', 'duplicate')",
            name=op.f("ck_returns_reason_known"),
        ),
        sa.CheckConstraint(
            "state IN ('open', 'upheld', 'refused', 'withdrawn', 'lapsed')", name=op.f("ck_returns_state_known")
        ),
        sa.CheckConstraint("char_length(words) BETWEEN 1 AND 2000", name=op.f("ck_returns_words_length")),
        sa.CheckConstraint("char_length(basis) BETWEEN 1 AND 1000", name=op.f("ck_returns_basis_length")),
        sa.CheckConstraint("(state = 'open') = (decided_at IS NULL)", name=op.f("ck_returns_ruled_has_time")),
        sa.CheckConstraint("decided_at IS NULL OR decided_at >= asked_at", name=op.f("ck_returns_ruled_after_asked")),
        sa.CheckConstraint(
            "state <> 'refused' OR (decided_by IS NOT NULL AND decision <> '')",
            name=op.f("ck_returns_refused_has_words"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('upheld', 'refused') OR decided_by IS DISTINCT FROM asked_by OR asked_by IS NULL",
            name=op.f("ck_returns_nobody_rules_on_his_own"),
        ),
        sa.CheckConstraint(
            "suggested_id IS NULL OR suggested_id <> department_id", name=op.f("ck_returns_suggests_another")
        ),
        sa.CheckConstraint("sent_to_id IS NULL OR state = 'upheld'", name=op.f("ck_returns_only_upheld_is_sent")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_returns_ticket_id")),
        sa.ForeignKeyConstraint(["dispatch_id"], ["dispatches.id"], name=op.f("fk_returns_dispatch_id")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_returns_department_id")),
        sa.ForeignKeyConstraint(["suggested_id"], ["departments.id"], name=op.f("fk_returns_suggested_id")),
        sa.ForeignKeyConstraint(["sent_to_id"], ["departments.id"], name=op.f("fk_returns_sent_to_id")),
        sa.ForeignKeyConstraint(["asked_by"], ["users.id"], name=op.f("fk_returns_asked_by")),
        sa.ForeignKeyConstraint(["decided_by"], ["users.id"], name=op.f("fk_returns_decided_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_returns")),
    )
    op.create_index(
        "uq_returns_open", "returns", ["ticket_id"], unique=True, postgresql_where=sa.text("state = 'open'")
    )
    op.create_index(
        "uq_returns_reason",
        "returns",
        ["ticket_id", "department_id", "reason"],
        unique=True,
        postgresql_where=sa.text("state IN ('open', 'refused')"),
    )
    op.create_index(
        "ix_returns_waiting", "returns", ["decide_due_at", "id"], postgresql_where=sa.text("state = 'open'")
    )
    op.create_index("ix_returns_ticket_id", "returns", ["ticket_id", "id"])
    op.execute(OLD_RETURNS)
    op.execute(COUNT_OLD_RETURNS)
    _acts(add=ACTS)
    _handling(add=ACTS)
    for statement in (BELONGS, RETURN_ASKED, RETURN_RULED, ANSWER_WAITS, COUNT_RETURNS):
        op.execute(statement)
    for name, when in TRIGGERS:
        op.execute(f"CREATE TRIGGER {name} {when} FOR EACH ROW EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    """Take the returns away; lines of the journal stay, also those whose act nobody knows any more."""
    for name, when in reversed(TRIGGERS):
        op.execute(f"DROP TRIGGER {name} ON {when.rsplit(' ', 1)[1]}")
        op.execute(f"DROP FUNCTION {name}()")
    op.execute("DROP FUNCTION belongs_to(bigint, bigint)")
    _handling(remove=ACTS)
    _acts(remove=ACTS)
    op.drop_index("ix_returns_ticket_id", table_name="returns")
    op.drop_index("ix_returns_waiting", table_name="returns", postgresql_where=sa.text("state = 'open'"))
    op.drop_index("uq_returns_reason", table_name="returns", postgresql_where=sa.text("state IN ('open', 'refused')"))
    op.drop_index("uq_returns_open", table_name="returns", postgresql_where=sa.text("state = 'open'"))
    op.drop_table("returns")
    op.execute("DELETE FROM counters WHERE name = 'returns.open'")
    op.execute("DELETE FROM counter_deltas WHERE name = 'returns.open'")
    op.drop_constraint(op.f("ck_tickets_returned_counts"), "tickets", type_="check")
    op.drop_column("tickets", "returned")
