"""Let the database refuse calendars with a gap or hours out of order, and pauses longer than the profile allows."""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

# The first year is the one from which the library was compared with the notices (routing.clocks.calendars.FIRST_YEAR).
GAP = """
CREATE FUNCTION years_have_no_gap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        RAISE EXCEPTION 'a confirmed year is never changed'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'confirmed_years_stay';
    END IF;
    IF NEW.year <> (SELECT coalesce(max(year), 2009) + 1 FROM confirmed_years) THEN
        RAISE EXCEPTION 'the years of the calendar follow one another'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'years_have_no_gap';
    END IF;
    RETURN NEW;
END $$
"""
IN_ORDER = """
CREATE FUNCTION hours_in_order(hours text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT coalesce(bool_and(opens < closes AND closes <= interval '24 hours' AND opens >= coalesce(before, opens)), true)
    FROM (
        SELECT opens, closes, lag(closes) OVER (ORDER BY at) AS before
        FROM (
            SELECT split_part(stretch, '-', 1)::interval AS opens, split_part(stretch, '-', 2)::interval AS closes, at
            FROM regexp_split_to_table(nullif(hours, ''), ',') WITH ORDINALITY AS one (stretch, at)
        ) AS stretches
    ) AS neighbours
$$
"""
# By the profile version that rules the dispatch: its own, or the one that the city has moved it to since.
PAUSE = """
CREATE FUNCTION pause_is_allowed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    rule jsonb;
BEGIN
    SELECT v.body -> 'suspension' INTO rule FROM profile_versions v
    WHERE v.name || ' ' || v.version = coalesce(
        (SELECT a.terms ->> 'profile' FROM adjustments a
         WHERE a.dispatch_id = NEW.dispatch_id AND a.kind = 'reclassification' AND a.terms ? 'profile'
         ORDER BY a.id DESC LIMIT 1),
        (SELECT d.profile FROM dispatches d WHERE d.id = NEW.dispatch_id));
    IF rule IS NOT NULL AND NEW.max_workdays > coalesce((rule -> 'kinds' ->> NEW.cause)::int, 0) THEN
        RAISE EXCEPTION 'a pause is no longer than the profile allows its cause'
            USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'pause_is_allowed';
    END IF;
    RETURN NEW;
END $$
"""
EXPORTS = "ck_exports_what_known"


def _know(*, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Let an export be of these kinds too, or no longer."""
    written = op.get_bind().exec_driver_sql(
        f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{EXPORTS}'"
    )
    known = [one for one in re.findall(r"'([a-z_]+)'", str(written.scalar_one())) if one not in {*add, *remove}]
    listed = ", ".join(f"'{one}'" for one in [*known, *add])
    op.execute(f"ALTER TABLE exports DROP CONSTRAINT {EXPORTS}")
    op.execute(f"ALTER TABLE exports ADD CONSTRAINT {EXPORTS} CHECK (what IN ({listed})) NOT VALID")
    op.execute(f"ALTER TABLE exports VALIDATE CONSTRAINT {EXPORTS}")


def upgrade() -> None:
    """Make the table and the rules; hours of before stay as they are."""
    op.create_table(
        "confirmed_years",
        sa.Column("year", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("basis", sa.Text(), nullable=False, comment="the notice that it rests on"),
        sa.Column("confirmed_by", sa.BigInteger(), nullable=True, comment="null: by the library"),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("year BETWEEN 2010 AND 2100", name=op.f("ck_confirmed_years_year_is_one")),
        sa.CheckConstraint("char_length(basis) BETWEEN 1 AND 200", name=op.f("ck_confirmed_years_has_basis")),
        sa.ForeignKeyConstraint(["confirmed_by"], ["users.id"], name=op.f("fk_confirmed_years_confirmed_by")),
        sa.PrimaryKeyConstraint("year", name=op.f("pk_confirmed_years")),
    )
    op.execute(GAP)
    op.execute(
        "CREATE TRIGGER years_have_no_gap BEFORE INSERT OR UPDATE OR DELETE ON confirmed_years"
        " FOR EACH ROW EXECUTE FUNCTION years_have_no_gap()"
    )
    op.execute(IN_ORDER)
    op.execute(
        "ALTER TABLE calendar_days ADD CONSTRAINT ck_calendar_days_hours_in_order CHECK (hours_in_order(hours)) NOT VALID"
    )
    op.execute("ALTER TABLE calendar_days VALIDATE CONSTRAINT ck_calendar_days_hours_in_order")
    op.execute(PAUSE)
    op.execute(
        "CREATE TRIGGER pause_is_allowed BEFORE INSERT OR UPDATE OF max_workdays, cause ON adjustments"
        " FOR EACH ROW WHEN (NEW.kind = 'suspension') EXECUTE FUNCTION pause_is_allowed()"
    )
    _know(add=("notice_print",))


def downgrade() -> None:
    """Leave it to the actions again; refused once a notice was printed, because the record of exports is kept."""
    _know(remove=("notice_print",))
    op.execute("DROP TRIGGER pause_is_allowed ON adjustments")
    op.execute("DROP FUNCTION pause_is_allowed()")
    op.execute("ALTER TABLE calendar_days DROP CONSTRAINT ck_calendar_days_hours_in_order")
    op.execute("DROP FUNCTION hours_in_order(text)")
    op.drop_table("confirmed_years")
    op.execute("DROP FUNCTION years_have_no_gap()")
