"""How a ledger of an earlier version becomes one of this: Alembic's revisions, run on a connection of ours.

Belongs here: `env.py`, which Alembic runs, and `versions/`, one module per revision. Imported only for a ledger that
is behind (`ledger/upgrade.py`): Alembic takes a quarter of a second to import.
"""
