"""Contents that another partition claims go over to it: what the one that had them leaves out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """From revision 0003."""
    op.create_table(
        "given_away",
        sa.Column("institution", sa.Text, primary_key=True),
        sa.Column("dataset", sa.Text, primary_key=True),
        sa.Column("business_date", sa.Date, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("object_id", sa.BigInteger),
        sa.Column("was_published", sa.Boolean, nullable=False),
    )
    op.create_index("given_away_by_object", "given_away", ["object_id"])
