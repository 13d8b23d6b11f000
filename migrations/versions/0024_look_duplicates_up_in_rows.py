"""Look likely duplicates up in rows of (number, ticket), read from the key alone.

Every sketch that is there is written out at once: about twelve minutes and 4.6 GB for a million tickets.

Revision ID: 0024
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the rows and keep them by a trigger; the index over arrays goes."""
    op.create_table(
        "ticket_sketch_keys",
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("ticket_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("key", "ticket_id", name=op.f("pk_ticket_sketch_keys")),
    )
    # What came last must be readable from the index alone soon, not when a fifth of the table is new.
    op.execute(
        "ALTER TABLE ticket_sketch_keys SET (autovacuum_vacuum_insert_scale_factor = 0.01,"
        " autovacuum_vacuum_scale_factor = 0.05)"
    )
    op.execute("""
        INSERT INTO ticket_sketch_keys (key, ticket_id)
        SELECT DISTINCT one, ticket_id FROM ticket_sketches, unnest(keys) AS one
    """)
    op.execute("""
        CREATE FUNCTION ticket_sketches_keys() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_OP <> 'INSERT' THEN
                DELETE FROM ticket_sketch_keys AS kept
                USING unnest(OLD.keys) AS one WHERE kept.key = one AND kept.ticket_id = OLD.ticket_id;
            END IF;
            IF TG_OP <> 'DELETE' THEN
                INSERT INTO ticket_sketch_keys (key, ticket_id)
                SELECT DISTINCT one, NEW.ticket_id FROM unnest(NEW.keys) AS one;
            END IF;
            RETURN NULL;
        END $$
    """)
    op.execute("""
        CREATE TRIGGER ticket_sketches_keys AFTER INSERT OR DELETE OR UPDATE OF keys ON ticket_sketches
        FOR EACH ROW EXECUTE FUNCTION ticket_sketches_keys()
    """)
    op.drop_index("ix_ticket_sketches_keys", table_name="ticket_sketches", postgresql_using="gin")


def downgrade() -> None:
    """Go back to the index over arrays; the sketches themselves hold everything."""
    op.create_index(
        "ix_ticket_sketches_keys",
        "ticket_sketches",
        ["keys"],
        unique=False,
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.execute("DROP TRIGGER ticket_sketches_keys ON ticket_sketches")
    op.execute("DROP FUNCTION ticket_sketches_keys()")
    op.drop_table("ticket_sketch_keys")
