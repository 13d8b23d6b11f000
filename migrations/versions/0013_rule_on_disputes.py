"""Rule on disputes over whose duty a ticket is."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

#: What the journal knows from now on.
ACTS = ("open_dispute", "argue", "convene", "rule", "designate", "reassign")
#: Those that make a person one of those who handled the ticket (domain.md 3.2).
HANDLING = ("argue", "rule", "designate", "reassign")
ROLES = (("users", "ck_users_role_known"), ("api_tokens", "ck_api_tokens_role_known"))

# As in the migration of returns, and besides: who holds a ticket until a ruling, or by one, does not return it.
RETURN_ASKED = """
CREATE OR REPLACE FUNCTION return_is_of_who_holds() RETURNS trigger LANGUAGE plpgsql AS $$
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
    {standing}
    IF NEW.asked_at > (held.steps -> 'return' ->> 'due')::timestamptz THEN
        RAISE EXCEPTION 'the window for returns is over'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'return_is_in_its_window';
    END IF;
    RETURN NEW;
END $$
"""
STANDING = """IF held.standing <> 'ordinary' THEN
        RAISE EXCEPTION 'a ticket that is held until a ruling or by one is not returned'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'return_is_of_an_ordinary_dispatch';
    END IF;"""

# Rule: whoever rules belongs to no party (domain.md 2.6, 4, and 2.7). Asked when a member is named and when he rules,
# because a unit may be heard later.
PANEL = """
CREATE FUNCTION panel_is_neutral() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM dispute_parties p WHERE p.dispute_id = NEW.dispute_id
               AND belongs_to(NEW.user_id, p.department_id)) THEN
        RAISE EXCEPTION 'whoever belongs to a unit of the dispute does not rule on it'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'panel_is_neutral';
    END IF;
    RETURN NEW;
END $$
"""

RULING = """
CREATE FUNCTION ruling_is_of_the_panel() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    one text;
    other text;
BEGIN
    PERFORM 1 FROM disputes WHERE id = NEW.dispute_id AND state = 'open' FOR UPDATE;
    IF TG_OP = 'UPDATE' AND OLD.state <> 'proposed' THEN
        IF OLD.state = 'in_force' AND NEW.state = 'in_force' AND NEW.lead_id = OLD.lead_id
            AND NEW.assist_ids = OLD.assist_ids AND NEW.words = OLD.words AND NEW.basis = OLD.basis THEN
            RETURN NEW;  -- a precedent may be retired, nothing else
        END IF;
        RAISE EXCEPTION 'a ruling that is in force, or was dropped, is never changed'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ruling_is_made_once';
    END IF;
    IF NEW.state <> 'dropped' AND NOT FOUND THEN
        RAISE EXCEPTION 'the dispute is not open any more'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ruling_is_of_an_open_dispute';
    END IF;
    SELECT seat INTO one FROM panel_members WHERE dispute_id = NEW.dispute_id AND user_id = NEW.proposed_by;
    IF NEW.state = 'in_force' THEN
        SELECT seat INTO other FROM panel_members WHERE dispute_id = NEW.dispute_id AND user_id = NEW.confirmed_by;
    END IF;
    IF NEW.state <> 'dropped' AND (one IS NULL OR (NEW.state = 'in_force'
        AND (other IS NULL OR (one = 'hotline') = (other = 'hotline')))) THEN
        RAISE EXCEPTION 'a ruling needs the hotline and another member of the panel'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ruling_is_of_the_panel';
    END IF;
    RETURN NEW;
END $$
"""

COUNT = """
CREATE FUNCTION count_disputes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE change integer := 0;
BEGIN
    IF TG_OP <> 'DELETE' AND NEW.state = 'open' THEN change := change + 1; END IF;
    IF TG_OP <> 'INSERT' AND OLD.state = 'open' THEN change := change - 1; END IF;
    IF change <> 0 THEN INSERT INTO counter_deltas (name, delta) VALUES ('disputes.open', change); END IF;
    RETURN NULL;
END $$
"""

TRIGGERS = (
    ("panel_is_neutral", "BEFORE INSERT OR UPDATE ON panel_members"),
    ("ruling_is_of_the_panel", "BEFORE INSERT OR UPDATE ON rulings"),
    ("count_disputes", "AFTER INSERT OR UPDATE OR DELETE ON disputes"),
)


def _listed(name: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> str:
    """Return the values of a list constraint with these added or taken away, whatever else was added meanwhile."""
    written = op.get_bind().scalar(
        sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name").bindparams(name=name)
    )
    known = [value for value in re.findall(r"'([a-z_]+)'", str(written)) if value not in remove]
    return ", ".join(f"'{value}'" for value in [*known, *(value for value in add if value not in known)])


def _allow(table: str, name: str, column: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    allowed = _listed(name, add=add, remove=remove)
    op.drop_constraint(op.f(name), table)
    # Going down, what was written before stays as it is: new lines alone are held to the shorter list.
    late = " NOT VALID" if remove else ""
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IN ({allowed})){late}")


def _handling(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    written = str(op.get_bind().scalar(sa.text("SELECT pg_get_functiondef('callback_is_independent'::regproc)")))
    listed = re.search(r"act IN\s*\(([^)]*)\)", written)
    assert listed is not None  # noqa: S101 - the first migration wrote it so
    known = [act for act in re.findall(r"'([a-z_]+)'", listed[1]) if act not in remove]
    wanted = ", ".join(f"'{act}'" for act in [*known, *(act for act in add if act not in known)])
    op.execute(written.replace(listed[1], wanted))


def upgrade() -> None:
    """Create disputes with their parties, panels, positions and rulings, and what the database holds of them."""
    op.add_column("dispatches", sa.Column("standing", sa.Text(), server_default="ordinary", nullable=False))
    op.create_check_constraint(
        op.f("ck_dispatches_standing_known"), "dispatches", "standing IN ('ordinary', 'interim', 'binding')"
    )
    _allow("dispatches", "ck_dispatches_ending_known", "ending", add=("reassigned",))
    for table, name in ROLES:
        _allow(table, name, "role", add=("arbiter",))
    op.create_table(
        "disputes",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), server_default="", nullable=False, comment="why, in words"),
        sa.Column("opened_by", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False, comment="until when the panel rules"),
        sa.Column(
            "steps",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="why that is so",
        ),
        sa.Column("interim_id", sa.BigInteger(), nullable=False, comment="who works on it meanwhile"),
        sa.Column("interim_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.BigInteger(), nullable=True),
        sa.Column("ended_words", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("(state = 'open') = (ended_at IS NULL)", name=op.f("ck_disputes_ended_has_time")),
        sa.CheckConstraint("cause IN ('returns', 'hotline', 'department')", name=op.f("ck_disputes_cause_known")),
        sa.CheckConstraint("state IN ('open', 'ruled', 'designated', 'lapsed')", name=op.f("ck_disputes_state_known")),
        sa.CheckConstraint("due_at > opened_at", name=op.f("ck_disputes_has_time")),
        sa.CheckConstraint("ended_at IS NULL OR ended_at >= opened_at", name=op.f("ck_disputes_ended_after_opened")),
        sa.ForeignKeyConstraint(["ended_by"], ["users.id"], name=op.f("fk_disputes_ended_by")),
        sa.ForeignKeyConstraint(["interim_id"], ["departments.id"], name=op.f("fk_disputes_interim_id")),
        sa.ForeignKeyConstraint(["opened_by"], ["users.id"], name=op.f("fk_disputes_opened_by")),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_disputes_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
    )
    op.create_index("ix_disputes_ticket_id", "disputes", ["ticket_id", "id"], unique=False)
    op.create_index(
        "ix_disputes_waiting", "disputes", ["due_at", "id"], unique=False, postgresql_where=sa.text("state = 'open'")
    )
    op.create_index(
        "uq_disputes_open", "disputes", ["ticket_id"], unique=True, postgresql_where=sa.text("state = 'open'")
    )
    op.create_table(
        "dispute_parties",
        sa.Column("dispute_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_dispute_parties_department_id")),
        sa.ForeignKeyConstraint(["dispute_id"], ["disputes.id"], name=op.f("fk_dispute_parties_dispute_id")),
        sa.PrimaryKeyConstraint("dispute_id", "department_id", name=op.f("pk_dispute_parties")),
    )
    op.create_index(
        "ix_dispute_parties_department_id", "dispute_parties", ["department_id", "dispute_id"], unique=False
    )
    op.create_table(
        "panel_members",
        sa.Column("dispute_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("seat", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "seat IN ('hotline', 'establishment', 'justice', 'other')", name=op.f("ck_panel_members_seat_known")
        ),
        sa.ForeignKeyConstraint(["dispute_id"], ["disputes.id"], name=op.f("fk_panel_members_dispute_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_panel_members_user_id")),
        sa.PrimaryKeyConstraint("dispute_id", "user_id", name=op.f("pk_panel_members")),
    )
    op.create_index("ix_panel_members_user_id", "panel_members", ["user_id", "dispute_id"], unique=False)
    op.create_table(
        "positions",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("dispute_id", sa.BigInteger(), nullable=False),
        sa.Column("department_id", sa.BigInteger(), nullable=False),
        sa.Column("stance", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column(
            "attachment_ids",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="of `attachments`",
        ),
        sa.Column("by_id", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("stance IN ('ours', 'not_ours', 'we_help')", name=op.f("ck_positions_stance_known")),
        sa.CheckConstraint("char_length(basis) BETWEEN 1 AND 2000", name=op.f("ck_positions_basis_length")),
        sa.CheckConstraint("char_length(words) BETWEEN 1 AND 5000", name=op.f("ck_positions_words_length")),
        sa.ForeignKeyConstraint(["by_id"], ["users.id"], name=op.f("fk_positions_by_id")),
        sa.ForeignKeyConstraint(["department_id"], ["departments.id"], name=op.f("fk_positions_department_id")),
        sa.ForeignKeyConstraint(["dispute_id"], ["disputes.id"], name=op.f("fk_positions_dispute_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_positions")),
    )
    op.create_index("ix_positions_dispute_id", "positions", ["dispute_id", "id"], unique=False)
    op.create_table(
        "rulings",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("dispute_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="proposed", nullable=False),
        sa.Column("lead_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "assist_ids",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
            comment="departments that help",
        ),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.BigInteger(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_by", sa.BigInteger(), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("dropped_words", sa.Text(), server_default="", nullable=False),
        sa.Column("category_id", sa.BigInteger(), nullable=True, comment="what it is a precedent for"),
        sa.Column("region_id", sa.BigInteger(), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True, comment="cited no more since then"),
        sa.CheckConstraint(
            "(state = 'in_force') = (confirmed_at IS NOT NULL)", name=op.f("ck_rulings_in_force_has_time")
        ),
        sa.CheckConstraint("retired_at IS NULL OR state = 'in_force'", name=op.f("ck_rulings_only_rulings_retire")),
        sa.CheckConstraint("state IN ('proposed', 'in_force', 'dropped')", name=op.f("ck_rulings_state_known")),
        sa.CheckConstraint(
            "(confirmed_by IS NULL) = (confirmed_at IS NULL)", name=op.f("ck_rulings_confirmed_by_somebody")
        ),
        sa.CheckConstraint("char_length(basis) BETWEEN 1 AND 2000", name=op.f("ck_rulings_basis_length")),
        sa.CheckConstraint("char_length(words) BETWEEN 1 AND 5000", name=op.f("ck_rulings_words_length")),
        sa.CheckConstraint("confirmed_by IS NULL OR confirmed_by <> proposed_by", name=op.f("ck_rulings_two_persons")),
        sa.ForeignKeyConstraint(["category_id"], ["categories.id"], name=op.f("fk_rulings_category_id")),
        sa.ForeignKeyConstraint(["confirmed_by"], ["users.id"], name=op.f("fk_rulings_confirmed_by")),
        sa.ForeignKeyConstraint(["dispute_id"], ["disputes.id"], name=op.f("fk_rulings_dispute_id")),
        sa.ForeignKeyConstraint(["lead_id"], ["departments.id"], name=op.f("fk_rulings_lead_id")),
        sa.ForeignKeyConstraint(["proposed_by"], ["users.id"], name=op.f("fk_rulings_proposed_by")),
        sa.ForeignKeyConstraint(["region_id"], ["regions.id"], name=op.f("fk_rulings_region_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rulings")),
    )
    op.create_index(
        "ix_rulings_precedents",
        "rulings",
        ["category_id", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'in_force' AND retired_at IS NULL"),
    )
    op.create_index(
        "uq_rulings_standing", "rulings", ["dispute_id"], unique=True, postgresql_where=sa.text("state <> 'dropped'")
    )
    for statement in (PANEL, RULING, COUNT, RETURN_ASKED.format(standing=STANDING)):
        op.execute(statement)
    for name, when in TRIGGERS:
        op.execute(f"CREATE TRIGGER {name} {when} FOR EACH ROW EXECUTE FUNCTION {name}()")
    _allow("journal", "ck_journal_act_known", "act", add=ACTS)
    _handling(add=HANDLING)


def downgrade() -> None:
    """Take the disputes away; lines of the journal stay. Fails while somebody has the role that only disputes know."""
    _handling(remove=HANDLING)
    _allow("journal", "ck_journal_act_known", "act", remove=ACTS)
    for name, when in reversed(TRIGGERS):
        op.execute(f"DROP TRIGGER {name} ON {when.rsplit(' ', 1)[1]}")
        op.execute(f"DROP FUNCTION {name}()")
    op.execute(RETURN_ASKED.format(standing=""))
    for table in ("rulings", "positions", "panel_members", "dispute_parties", "disputes"):
        op.drop_table(table)
    op.execute("DELETE FROM counters WHERE name = 'disputes.open'")
    op.execute("DELETE FROM counter_deltas WHERE name = 'disputes.open'")
    for table, name in ROLES:
        allowed = _listed(name, remove=("arbiter",))
        op.drop_constraint(op.f(name), table)
        op.create_check_constraint(op.f(name), table, f"role IN ({allowed})")
    op.execute("UPDATE dispatches SET ending = 'withdrawn' WHERE ending = 'reassigned'")
    _allow("dispatches", "ck_dispatches_ending_known", "ending", remove=("reassigned",))
    op.drop_constraint(op.f("ck_dispatches_standing_known"), "dispatches", type_="check")
    op.drop_column("dispatches", "standing")
