"""The tables of the ledger and the column types that keep SQLite and Postgres alike.

Not here: what may happen to a row (`recording.py`, `attempts.py`), connections (`database.py`).
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from etl_platform.ledger.records import Outcome, State
from etl_platform.limits import MESSAGE_CHARACTERS


def storable(text: str) -> str:
    """`text` as both databases take it: NUL and lone surrogates, which file names may hold, become escapes."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


class SafeText(TypeDecorator[str]):
    """Text that no sender can make unstorable: one evil key must not stop the recording of all others."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """To the database."""
        return None if value is None else storable(value)


class Message(SafeText):
    """SafeText for reasons and errors, cut to a length that a person reads."""

    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """To the database."""
        text = super().process_bind_param(value, dialect)
        if text is None or len(text) <= MESSAGE_CHARACTERS:
            return text
        return f"{text[: MESSAGE_CHARACTERS - 1]}…"


class UtcDateTime(TypeDecorator[dt.datetime]):
    """A moment: aware in, UTC out, also from SQLite, which stores text without a zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:
        """To the database. Raises ValueError for a time without a zone."""
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"found the time {value} without a zone; expected an aware datetime")
        return value.astimezone(dt.UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> dt.datetime | None:
        """From the database."""
        if value is None:
            return None
        aware: dt.datetime = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return aware.astimezone(dt.UTC)


class AsciiJson(TypeDecorator[Any]):
    """Lists and objects as JSON text, escaped to ASCII: NUL and lone surrogates in a sender's names cannot hurt."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:
        """To the database."""
        return json.dumps(value, separators=(",", ":"), allow_nan=False)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        """From the database."""
        return None if value is None else json.loads(value)


# SQLite numbers rows by itself only in a column declared INTEGER.
_RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _one_of(column: str, names: type[State] | type[Outcome]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{name}'" for name in names)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger) for name in names]


ROW_COUNTS = ("rows_read", "rows_silver", "rows_quarantined", "rows_duplicate")
CHECK_COUNTS = ("checks_passed", "checks_failed")

metadata = sa.MetaData()

landing_objects = sa.Table(
    "landing_objects",
    metadata,
    sa.Column("id", _RowNumber, primary_key=True),
    sa.Column("institution", SafeText),
    sa.Column("dataset", SafeText),
    sa.Column("business_date", sa.Date),
    # Where it is: the name of its landing root and the key below. The uri is where it was seen last, for people.
    sa.Column("root", SafeText, nullable=False),
    sa.Column("key", SafeText, nullable=False),
    sa.Column("uri", SafeText, nullable=False),
    sa.Column("identity", SafeText, nullable=False),
    sa.Column("etag", SafeText),
    sa.Column("version", SafeText),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("last_modified", UtcDateTime, nullable=False),
    sa.Column("sha256", sa.Text),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("updated_at", UtcDateTime, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", Message),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("claimed_by", sa.Text),
    sa.Column("run_id", sa.Text),
    # Whether its rows were ever published: in write mode `append` an overwritten content counts only then.
    sa.Column("is_published", sa.Boolean, nullable=False, server_default=sa.false()),
    *_counts(*ROW_COUNTS),
    sa.UniqueConstraint("root", "key", "identity", name="landing_objects_place_identity"),
    _one_of("state", State),
    sa.CheckConstraint(
        "state IN ('unrouted', 'superseded', 'ignored')"
        " OR (institution IS NOT NULL AND dataset IS NOT NULL AND business_date IS NOT NULL)",
        name="partition_is_known",
    ),
    sa.CheckConstraint(
        "claimed_by IS NULL OR state NOT IN ('unrouted', 'superseded', 'ignored', 'withdrawn', 'waiting')",
        name="only_current_is_claimed",
    ),
    sa.Index("landing_objects_partition", "institution", "dataset", "business_date"),
    sa.Index("landing_objects_state", "state", "first_seen_at"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("institution", SafeText, primary_key=True),
    sa.Column("dataset", SafeText, primary_key=True),
    sa.Column("business_date", sa.Date, primary_key=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("outcome", sa.Text, nullable=False),
    *_counts(*ROW_COUNTS, *CHECK_COUNTS),
    sa.Column("seconds", sa.Float),
    sa.Column("error", Message),
    _one_of("outcome", Outcome),
    sa.CheckConstraint("(outcome IN ('running', 'checked')) = (ended_at IS NULL)", name="end_is_on_record"),
    sa.Index("attempts_partition", "institution", "dataset", "business_date", "started_at"),
    sa.Index("attempts_outcome", "outcome", "started_at"),
)


def _partition_key() -> list[sa.Column[Any]]:
    names = ("institution", "dataset")
    parts: list[sa.Column[Any]] = [sa.Column(name, SafeText, primary_key=True) for name in names]
    return [*parts, sa.Column("business_date", sa.Date, primary_key=True)]


# A table that holds what a checked attempt stored in silver. With all of its tables the attempt has succeeded.
publications = sa.Table(
    "publications",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    *_partition_key(),
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("published_at", UtcDateTime, nullable=False),
)

# Published tables that a run is writing from what another run's attempt stored, from the gate to the end of the step.
writes = sa.Table(
    "writes",
    metadata,
    sa.Column("writer", sa.Text, primary_key=True),
    *_partition_key(),
    sa.Column("table_name", sa.Text, primary_key=True),
    sa.Column("attempt_run_id", sa.Text, nullable=False),
)

# What went wrong with a partition and may pass: a service that is away (service), or runs that died (service NULL).
troubles = sa.Table(
    "troubles",
    metadata,
    *_partition_key(),
    sa.Column("service", sa.Text),
    sa.Column("error", Message, nullable=False),
    sa.Column("since", UtcDateTime, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failures_on", sa.Date),
    sa.Column("next_try_at", UtcDateTime),
    # Grows with all that happens here: names the next try.
    sa.Column("number", sa.Integer, nullable=False),
    sa.Index("troubles_service", "service"),
)

# Partitions to run although no object of theirs is new: one was withdrawn, or a run of theirs was cut off.
reruns = sa.Table(
    "reruns",
    metadata,
    *_partition_key(),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("reason", Message, nullable=False),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("is_open", sa.Boolean, nullable=False),
    sa.Index("reruns_open", "is_open", "requested_at"),
)

# How many rows of a partition another date of the same dataset may hold (exposed), and how many it does (held).
shared_keys = sa.Table(
    "shared_keys",
    metadata,
    *_partition_key(),
    sa.Column("exposed", sa.BigInteger, nullable=False),
    sa.Column("held", sa.BigInteger, nullable=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
)

# Contents that were a partition's until a corrected key pattern, or another institution, gave them to another one. Its
# bronze still has them. name: the identity, and the sha256 once known; "" for whatever the key had before. object_id:
# not of that.
given_away = sa.Table(
    "given_away",
    metadata,
    *_partition_key(),
    sa.Column("key", SafeText, primary_key=True),
    sa.Column("name", SafeText, primary_key=True),
    sa.Column("object_id", sa.BigInteger),
    sa.Column("was_published", sa.Boolean, nullable=False),
    sa.Index("given_away_by_object", "object_id"),
)

# A service as it was seen last: since when it has been away, or NULL.
services = sa.Table(
    "services",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("away_since", UtcDateTime),
    sa.Column("probed_at", UtcDateTime, nullable=False),
    sa.Column("found", Message, nullable=False),
)

# A partition for which somebody is about to start a run: nobody else does meanwhile.
leases = sa.Table(
    "leases",
    metadata,
    *_partition_key(),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("taken_at", UtcDateTime, nullable=False),
)

# Heartbeats of executing runs, for those who cannot see their lock files: other hosts and containers.
processes = sa.Table(
    "processes",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sa.Column("suspected_beats", sa.BigInteger),
    sa.Column("suspected_at", UtcDateTime),
)

# Where each landing root was seen last, so that a move is noticed.
landing_roots = sa.Table(
    "landing_roots",
    metadata,
    sa.Column("name", SafeText, primary_key=True),
    sa.Column("url", SafeText, nullable=False),
    sa.Column("url_before", SafeText),
    sa.Column("changed_at", UtcDateTime, nullable=False),
)

withdrawals = sa.Table(
    "withdrawals",
    metadata,
    sa.Column("id", _RowNumber, primary_key=True),
    sa.Column("object_id", sa.BigInteger, nullable=False),
    sa.Column("root", SafeText, nullable=False),
    sa.Column("key", SafeText, nullable=False),
    sa.Column("identity", SafeText, nullable=False),
    sa.Column("reason", Message, nullable=False),
    sa.Column("requested_by", SafeText, nullable=False),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("undone_by", SafeText),
    sa.Column("undone_at", UtcDateTime),
)

schema_drift = sa.Table(
    "schema_drift",
    metadata,
    sa.Column("root", SafeText, primary_key=True),
    sa.Column("key", SafeText, primary_key=True),
    sa.Column("sha256", sa.Text, primary_key=True),
    sa.Column("uri", SafeText, nullable=False),
    sa.Column("institution", SafeText, nullable=False),
    sa.Column("dataset", SafeText, nullable=False),
    sa.Column("business_date", sa.Date, nullable=False),
    sa.Column("delivery", sa.BigInteger, nullable=False),
    sa.Column("format", sa.Text, nullable=False),
    sa.Column("policy", sa.Text, nullable=False),
    sa.Column("columns", AsciiJson, nullable=False),
    sa.Column("differences", AsciiJson, nullable=False),
    sa.Column("is_drifted", sa.Boolean, nullable=False),
    sa.Column("is_current", sa.Boolean, nullable=False),
    sa.Column("is_baseline", sa.Boolean, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    sa.Index("schema_drift_partition", "institution", "dataset", "business_date", "delivery"),
)

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("institution", SafeText, primary_key=True),
    sa.Column("dataset", SafeText, primary_key=True),
    sa.Column("business_date", sa.Date, primary_key=True),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("profile", AsciiJson, nullable=False),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
)

rule_versions = sa.Table(
    "rule_versions",
    metadata,
    sa.Column("version", sa.Text, primary_key=True),
    sa.Column("dataset", SafeText, nullable=False),
    sa.Column("document", SafeText, nullable=False),
    sa.Column("first_used_at", UtcDateTime, nullable=False),
)

judgements = sa.Table(
    "judgements",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("institution", SafeText, primary_key=True),
    sa.Column("dataset", SafeText, primary_key=True),
    sa.Column("business_date", sa.Date, primary_key=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("judged_at", UtcDateTime, nullable=False),
    sa.Index("judgements_partition", "institution", "dataset", "business_date", "judged_at"),
)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("replay_id", sa.Text, primary_key=True),
    sa.Column("institution", SafeText, primary_key=True),
    sa.Column("dataset", SafeText, primary_key=True),
    sa.Column("business_date", sa.Date, primary_key=True),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("requested_by", SafeText, nullable=False),
    sa.Column("reason", Message, nullable=False),
    sa.Column("version_before", sa.Text),
    sa.Column("rows_quarantined_before", sa.BigInteger, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("version_after", sa.Text),
    *_counts("rows_quarantined_after", "rows_moved"),
    sa.Column("outcome", Message),
    sa.Index("replays_requested_at", "requested_at"),
)
