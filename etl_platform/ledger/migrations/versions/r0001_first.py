"""The ledger before it had revisions, as the code of commit 430a28d made it.

Written out in full, and in plain types: it must stay what it was, whatever becomes of `ledger/tables.py`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROWS = ("rows_read", "rows_silver", "rows_quarantined", "rows_duplicate")


def tables() -> dict[str, sa.Table]:
    """The tables by name, newly made, for the revision that changes them."""
    metadata = sa.MetaData()
    for build in (_landing_objects, _attempts, _schema_drift, _profiles, _rule_versions, _judgements, _replays):
        build(metadata)
    return dict(metadata.tables)


def upgrade() -> None:
    """Create what is not there: the last three tables are younger than the others."""
    metadata = next(iter(tables().values())).metadata
    metadata.create_all(op.get_bind())


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=null)


def _time(name: str, *, null: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def _number(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null)


def _key(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.Date if name == "business_date" else sa.Text, primary_key=True) for name in names]


def _landing_objects(metadata: sa.MetaData) -> None:
    sa.Table(
        "landing_objects",
        metadata,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        _text("institution", null=True),
        _text("dataset", null=True),
        sa.Column("business_date", sa.Date),
        *(_text(name) for name in ("uri", "key", "identity")),
        *(_text(name, null=True) for name in ("etag", "version")),
        _number("size"),
        _time("last_modified"),
        _text("sha256", null=True),
        _time("first_seen_at"),
        _time("updated_at"),
        _text("state"),
        _text("reason", null=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        *(_text(name, null=True) for name in ("claimed_by", "run_id")),
        *(_number(name, null=True) for name in _ROWS),
        sa.UniqueConstraint("uri", "identity", name="landing_objects_uri_identity"),
        sa.CheckConstraint(
            "state IN ('seen', 'loaded', 'refused', 'failed', 'superseded', 'unrouted')", name="state_is_known"
        ),
        sa.CheckConstraint(
            "state IN ('unrouted', 'superseded')"
            " OR (institution IS NOT NULL AND dataset IS NOT NULL AND business_date IS NOT NULL)",
            name="partition_is_known",
        ),
        sa.CheckConstraint(
            "claimed_by IS NULL OR state NOT IN ('unrouted', 'superseded')", name="only_current_is_claimed"
        ),
        sa.Index("landing_objects_partition", "institution", "dataset", "business_date"),
        sa.Index("landing_objects_state", "state", "first_seen_at"),
    )


def _attempts(metadata: sa.MetaData) -> None:
    sa.Table(
        "attempts",
        metadata,
        *_key("run_id", "institution", "dataset", "business_date"),
        _time("started_at"),
        _time("ended_at", null=True),
        _text("outcome"),
        *(_number(name, null=True) for name in (*_ROWS, "checks_passed", "checks_failed")),
        sa.Column("seconds", sa.Float),
        _text("error", null=True),
        sa.CheckConstraint("outcome IN ('running', 'succeeded', 'failed', 'crashed')", name="outcome_is_known"),
        sa.CheckConstraint("(outcome = 'running') = (ended_at IS NULL)", name="end_is_on_record"),
        sa.Index("attempts_partition", "institution", "dataset", "business_date", "started_at"),
        sa.Index("attempts_outcome", "outcome", "started_at"),
    )


def _schema_drift(metadata: sa.MetaData) -> None:
    sa.Table(
        "schema_drift",
        metadata,
        *_key("uri", "sha256"),
        *(_text(name) for name in ("institution", "dataset")),
        sa.Column("business_date", sa.Date, nullable=False),
        _text("key"),
        _number("delivery"),
        *(_text(name) for name in ("format", "policy", "columns", "differences")),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("is_drifted", "is_current", "is_baseline")),
        _text("run_id"),
        _time("recorded_at"),
        sa.Index("schema_drift_partition", "institution", "dataset", "business_date", "delivery"),
    )


def _profiles(metadata: sa.MetaData) -> None:
    key = _key("institution", "dataset", "business_date")
    sa.Table("profiles", metadata, *key, _number("rows"), _text("profile"), _time("recorded_at"))


def _rule_versions(metadata: sa.MetaData) -> None:
    columns = (_text("dataset"), _text("document"), _time("first_used_at"))
    sa.Table("rule_versions", metadata, *_key("version"), *columns)


def _judgements(metadata: sa.MetaData) -> None:
    sa.Table(
        "judgements",
        metadata,
        *_key("run_id", "institution", "dataset", "business_date"),
        _text("version"),
        _time("judged_at"),
        sa.Index("judgements_partition", "institution", "dataset", "business_date", "judged_at"),
    )


def _replays(metadata: sa.MetaData) -> None:
    sa.Table(
        "replays",
        metadata,
        *_key("replay_id", "institution", "dataset", "business_date"),
        _time("requested_at"),
        *(_text(name) for name in ("requested_by", "reason")),
        _text("version_before", null=True),
        _number("rows_quarantined_before"),
        *(_text(name, null=True) for name in ("run_id", "version_after")),
        *(_number(name, null=True) for name in ("rows_quarantined_after", "rows_moved")),
        _text("outcome", null=True),
        sa.Index("replays_requested_at", "requested_at"),
    )
