"""How Alembic reaches the store: in the transaction that opened it, so that a migration happens whole or not at all."""

from __future__ import annotations

from alembic import context

from mtl_core.store import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
