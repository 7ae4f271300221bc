"""A key lives once: which partitions hold rows that another date may hold as well.

Of partitions that were stored before nothing is known: they have no row, and are looked at.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """From revision 0002."""
    op.create_table(
        "shared_keys",
        sa.Column("institution", sa.Text, primary_key=True),
        sa.Column("dataset", sa.Text, primary_key=True),
        sa.Column("business_date", sa.Date, primary_key=True),
        sa.Column("exposed", sa.BigInteger, nullable=False),
        sa.Column("held", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    )
