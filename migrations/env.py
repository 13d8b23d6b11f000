"""Alembic's entry: runs migrations on the connection that hotline.migrate gives."""

from __future__ import annotations

from alembic import context

from hotline.migrate import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata(), compare_type=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
