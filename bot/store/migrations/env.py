"""What Alembic runs: every migration on the connection that `migrate` holds, in its transaction."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection)
context.run_migrations()
