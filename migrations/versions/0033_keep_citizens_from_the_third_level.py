"""Let the database refuse a ticket, or the whole view of one, to a department of the third level (domain.md 7 b)."""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

# Both are asked of every dispatch and part already; one look at the department answers both. A department that had the
# ticket before this rule does its rework still.
TAKES_TICKETS = """
CREATE OR REPLACE FUNCTION department_works() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unit record;
BEGIN
    SELECT active, kind INTO unit FROM departments WHERE id = NEW.department_id FOR KEY SHARE;
    IF NOT unit.active THEN
        RAISE EXCEPTION 'a ticket goes to a department that works'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'department_works';
    END IF;
    IF unit.kind = 'handler' AND coalesce(to_jsonb(NEW) ->> 'kind', '') <> 'forward' AND NOT EXISTS (
        SELECT 1 FROM dispatches WHERE ticket_id = NEW.ticket_id AND department_id = NEW.department_id
    ) THEN
        RAISE EXCEPTION 'the third level is given forwarded parts alone'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'department_takes_tickets';
    END IF;
    RETURN NEW;
END $$
"""
WORKS = """
CREATE OR REPLACE FUNCTION department_works() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    works boolean;
BEGIN
    SELECT active INTO works FROM departments WHERE id = NEW.department_id FOR KEY SHARE;
    IF NOT works THEN
        RAISE EXCEPTION 'a ticket goes to a department that works'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'department_works';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    """Give the third level forwarded parts alone; what it holds already stays."""
    op.execute(TAKES_TICKETS)


def downgrade() -> None:
    """Ask only whether the department works."""
    op.execute(WORKS)
