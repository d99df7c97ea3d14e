"""What Alembic runs: every migration on the connection that `upgrade` holds, in its transaction."""

from alembic import context
from sqlalchemy import text

from bot.store.schema import metadata

LOCK = 0x756E6C61  # "unla": replicas that migrate at the same time wait for each other

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
if connection.dialect.name == "postgresql":
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
context.run_migrations()
