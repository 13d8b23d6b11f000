"""Let a ruling name the request type that it is a precedent for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

NAME = "ck_rulings_request_type_known"
#: As 0013 has it, but for what of a ruling in force stays.
RULING = """
CREATE OR REPLACE FUNCTION ruling_is_of_the_panel() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    one text;
    other text;
BEGIN
    PERFORM 1 FROM disputes WHERE id = NEW.dispute_id AND state = 'open' FOR UPDATE;
    IF TG_OP = 'UPDATE' AND OLD.state <> 'proposed' THEN
        IF OLD.state = 'in_force' AND NEW.state = 'in_force' AND NEW.lead_id = OLD.lead_id
            AND NEW.assist_ids = OLD.assist_ids AND NEW.words = OLD.words AND NEW.basis = OLD.basis{stays} THEN
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
STAYS = "\n            AND NEW.request_type IS NOT DISTINCT FROM OLD.request_type"


def upgrade() -> None:
    """Add the type; rulings of before hold for any."""
    op.add_column("rulings", sa.Column("request_type", sa.Text(), nullable=True, comment="null: any"))
    op.create_check_constraint(
        op.f(NAME),
        "rulings",
        "request_type IN ('咨询', '求助', '投诉', '举报', '建议', '表扬', '其他')",
    )
    op.execute(RULING.format(stays=STAYS))


def downgrade() -> None:
    """Let every ruling hold for any type again."""
    op.execute(RULING.format(stays=""))
    op.drop_constraint(op.f(NAME), "rulings")
    op.drop_column("rulings", "request_type")
