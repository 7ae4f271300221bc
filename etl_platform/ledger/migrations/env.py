"""What Alembic executes for every migration: on the connection and transaction of its caller, without a settings file.

Not here: locks, the backup, the decision to migrate (`ledger/upgrade.py`).
"""

from __future__ import annotations

from alembic import context

from etl_platform.ledger.revision import MARKER

context.configure(
    connection=context.config.attributes["connection"],
    # Dagster and other owners of a shared database keep their own `alembic_version` there.
    version_table=MARKER.name,
)
with context.begin_transaction():
    context.run_migrations()
