"""Deliveries have a law: objects by (root, key, content), checked attempts, and what waits, is led and is withdrawn.

What becomes of rows that are one object by now: `same_place.py`. An attempt stays what it was: one that succeeded has
succeeded, one that runs is ended by whoever finds its run dead.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from etl_platform.ledger.migrations.backfill_0002 import backfill
from etl_platform.ledger.migrations.versions.r0001_first import tables

revision = "0002"
down_revision = "0001"

_STATES = "'seen', 'waiting', 'loaded', 'refused', 'failed', 'superseded', 'withdrawn', 'unrouted', 'ignored'"
_PARTITION = ("institution", "dataset", "business_date")


def upgrade() -> None:
    """From revision 0001."""
    before = tables()
    objects = before["landing_objects"]
    for new_column in (_root, _is_published):
        op.add_column("landing_objects", new_column())
        objects.append_column(new_column())
    op.add_column("schema_drift", _root())
    backfill(op.get_bind())
    _change_landing_objects(objects)
    _change_attempts(before["attempts"])
    _change_schema_drift()
    _create_new_tables()


def _root() -> sa.Column[str]:
    return sa.Column("root", sa.Text)


def _is_published() -> sa.Column[bool]:
    return sa.Column("is_published", sa.Boolean, nullable=False, server_default=sa.false())


def _change_landing_objects(before: sa.Table) -> None:
    # SQLite cannot change a constraint: the table is written anew, from what `before` says, not from what SQLite tells.
    with op.batch_alter_table("landing_objects", copy_from=before) as table:
        table.alter_column("root", existing_type=sa.Text(), nullable=False)
        table.drop_constraint("landing_objects_uri_identity", type_="unique")
        table.create_unique_constraint("landing_objects_place_identity", ["root", "key", "identity"])
        for name in ("state_is_known", "partition_is_known", "only_current_is_claimed"):
            table.drop_constraint(name, type_="check")
        table.create_check_constraint("state_is_known", sa.text(f"state IN ({_STATES})"))
        table.create_check_constraint(
            "partition_is_known",
            sa.text(
                "state IN ('unrouted', 'superseded', 'ignored')"
                " OR (institution IS NOT NULL AND dataset IS NOT NULL AND business_date IS NOT NULL)"
            ),
        )
        table.create_check_constraint(
            "only_current_is_claimed",
            sa.text("claimed_by IS NULL OR state NOT IN ('unrouted', 'superseded', 'ignored', 'withdrawn', 'waiting')"),
        )


def _change_attempts(before: sa.Table) -> None:
    outcomes = "'running', 'checked', 'succeeded', 'failed', 'crashed'"
    with op.batch_alter_table("attempts", copy_from=before) as table:
        for name in ("outcome_is_known", "end_is_on_record"):
            table.drop_constraint(name, type_="check")
        table.create_check_constraint("outcome_is_known", sa.text(f"outcome IN ({outcomes})"))
        table.create_check_constraint(
            "end_is_on_record", sa.text("(outcome IN ('running', 'checked')) = (ended_at IS NULL)")
        )


def _change_schema_drift() -> None:
    """Another primary key. Written anew on both databases: SQLite's has no name by which it could be dropped."""
    flags = ("is_drifted", "is_current", "is_baseline")
    key = ("root", "key", "sha256")
    texts = ("uri", "institution", "dataset", "format", "policy", "columns", "differences", "run_id")
    names = [*key, *texts, "business_date", "delivery", *flags, "recorded_at"]
    op.create_table(
        "schema_drift_0002",
        *_key(key),
        *_text("uri", "institution", "dataset"),
        sa.Column("business_date", sa.Date, nullable=False),
        sa.Column("delivery", sa.BigInteger, nullable=False),
        *_text("format", "policy", "columns", "differences"),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in flags),
        *_text("run_id"),
        _time("recorded_at"),
    )
    old, new = (sa.table(name, *map(sa.column, names)) for name in ("schema_drift", "schema_drift_0002"))
    op.execute(sa.insert(new).from_select(names, sa.select(*old.c)))
    op.drop_table("schema_drift")
    op.rename_table("schema_drift_0002", "schema_drift")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX schema_drift_0002_pkey RENAME TO schema_drift_pkey")
    op.create_index("schema_drift_partition", "schema_drift", ["institution", "dataset", "business_date", "delivery"])


def _key(names: Sequence[str]) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.Date if name == "business_date" else sa.Text, primary_key=True) for name in names]


def _text(*names: str, null: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=null) for name in names]


def _time(name: str, *, null: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=null)


def _create_new_tables() -> None:
    op.create_table("publications", *_key(("run_id", *_PARTITION, "table_name")), _time("published_at"))
    op.create_table(
        "troubles",
        *_key(_PARTITION),
        *_text("service", null=True),
        *_text("error"),
        _time("since"),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("deaths", "failures")),
        sa.Column("failures_on", sa.Date),
        _time("next_try_at", null=True),
        sa.Column("number", sa.Integer, nullable=False),
    )
    op.create_index("troubles_service", "troubles", ["service"])
    op.create_table(
        "reruns",
        *_key(_PARTITION),
        sa.Column("number", sa.Integer, nullable=False),
        *_text("reason"),
        _time("requested_at"),
        sa.Column("is_open", sa.Boolean, nullable=False),
    )
    op.create_index("reruns_open", "reruns", ["is_open", "requested_at"])
    op.create_table("services", *_key(["name"]), _time("away_since", null=True), _time("probed_at"), *_text("found"))
    op.create_table("writes", *_key(("writer", *_PARTITION, "table_name")), *_text("attempt_run_id"))
    op.create_table("leases", *_key(_PARTITION), *_text("holder"), _time("taken_at"))
    beats = [sa.Column("beats", sa.BigInteger, nullable=False), sa.Column("suspected_beats", sa.BigInteger)]
    op.create_table("processes", *_key(["name"]), *beats, _time("suspected_at", null=True))
    urls = [*_text("url"), *_text("url_before", null=True)]
    op.create_table("landing_roots", *_key(["name"]), *urls, _time("changed_at"))
    op.create_table(
        "withdrawals",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("object_id", sa.BigInteger, nullable=False),
        *_text("root", "key", "identity", "reason", "requested_by"),
        _time("requested_at"),
        *_text("undone_by", null=True),
        _time("undone_at", null=True),
    )
