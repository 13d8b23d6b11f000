"""Let the database refuse a dispatch to a department that is closed, also when it is closed at this very moment."""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

# Whoever closes a department holds its row; the lock here waits for that and then reads what became of it. The other
# way round, whoever closes it waits for the dispatch and then finds a ticket in its hands.
WORKS = """
CREATE FUNCTION department_works() RETURNS trigger LANGUAGE plpgsql AS $$
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
#: On parts it is asked after subtask_is_within, which has the better words where nobody is closing anything.
TRIGGERS = {"dispatches": "department_works", "subtasks": "works_department"}


def upgrade() -> None:
    """Ask it of every new dispatch and of every new part."""
    op.execute(WORKS)
    for table, name in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION department_works()")


def downgrade() -> None:
    """Leave it to the actions again."""
    for table, name in TRIGGERS.items():
        op.execute(f"DROP TRIGGER {name} ON {table}")
    op.execute("DROP FUNCTION department_works()")
