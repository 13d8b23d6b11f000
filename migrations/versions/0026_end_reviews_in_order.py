"""Hold in the database how a bad review may end: through its unit and its callback, and the callback last."""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

# A bad review is judged by two, what is justified is put right, then the citizen is called (domain.md 4.3).
REVIEW_COMES_FIRST = """
CREATE FUNCTION review_comes_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM tickets WHERE id = NEW.ticket_id AND kind = 'bad_review') AND NOT EXISTS (
        SELECT FROM bad_reviews WHERE ticket_id = NEW.ticket_id AND verdict IS NOT NULL
        AND (verdict NOT IN ('justified_simple', 'justified_complex') OR rectified_at IS NOT NULL)
    ) THEN
        RAISE EXCEPTION 'a bad review is judged, and rectified where it is justified, before its callback is done'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'review_comes_first';
    END IF;
    RETURN NEW;
END $$
"""
REVIEW_COMES_FIRST_TRIGGER = """
CREATE TRIGGER review_comes_first BEFORE INSERT OR UPDATE OF done_at ON callbacks
FOR EACH ROW WHEN (NEW.done_at IS NOT NULL) EXECUTE FUNCTION review_comes_first()
"""


def upgrade() -> None:
    """Refuse what the map refuses already; stops where an old review ended so: have it done again (重办) first."""
    op.execute(
        "ALTER TABLE tickets ADD CONSTRAINT ck_tickets_reviews_are_called_back CHECK (kind <> 'bad_review'"
        " OR coalesce(outcome, '') NOT IN ('answered_directly', 'refused', 'transferred')) NOT VALID"
    )
    op.execute("ALTER TABLE tickets VALIDATE CONSTRAINT ck_tickets_reviews_are_called_back")
    op.execute(REVIEW_COMES_FIRST)
    op.execute(REVIEW_COMES_FIRST_TRIGGER)


def downgrade() -> None:
    """Leave it to the map and the audit again."""
    op.execute("DROP TRIGGER review_comes_first ON callbacks")
    op.execute("DROP FUNCTION review_comes_first()")
    op.execute("ALTER TABLE tickets DROP CONSTRAINT ck_tickets_reviews_are_called_back")
