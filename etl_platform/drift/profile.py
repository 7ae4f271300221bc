"""What the rows of a partition look like in sum: enough to notice next week that a number changed its meaning.

One pass over the stored frames; memory is a small histogram per group, whatever the number of rows. A profile is plain
JSON. Not here: comparing profiles (`values.py`), keeping them (`ledger/profiles.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from etl_platform.contracts.contract import Contract, Watched
from etl_platform.limits import PROFILE_GROUPS, PROFILE_VALUES

BIN = 0.02
"""Width of a histogram bin in powers of ten: the median is known to 2.3 %, and a factor of ten is 50 bins."""
HOURS = 24


@dataclass(frozen=True)
class Profile:
    """medians: watched column -> group -> median of the absolute values. categories: column -> rows of each value.
    hours: rows per hour of the event time in the institution's zone, empty without an event time."""

    rows: int = 0
    medians: dict[str, dict[str, float]] = field(default_factory=dict)
    categories: dict[str, dict[str, int]] = field(default_factory=dict)
    hours: list[int] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, profile: dict[str, Any]) -> Profile:
        """What `as_json` gave."""
        return cls(**profile)


def has_hours(contract: Contract) -> bool:
    """Whether rows of the contract have an hour."""
    return any(c.name == contract.event_time and isinstance(c.dtype, pl.Datetime) for c in contract.columns)


class Profiler:
    """Sees the frames of one partition on their way to somebody else."""

    def __init__(self, contract: Contract, time_zone: str) -> None:
        self._contract, self._zone = contract, time_zone
        self._rows = 0
        self._counts: dict[tuple[str, str], pl.DataFrame] = {}
        self._queries = _queries(contract, time_zone)

    def watch(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """`frames` unchanged."""
        for frame in frames:
            self._rows += frame.height
            for name, (columns, counted) in self._queries.items():
                if set(columns) <= set(frame.columns):  # a stored table of another schema has a check of its own
                    self._add(name, counted(frame))
            yield frame

    def _add(self, name: tuple[str, str], counted: pl.DataFrame) -> None:
        held = self._counts.get(name)
        if held is not None:
            keys = [column for column in counted.columns if column != "n"]
            counted = pl.concat([held, counted]).group_by(keys).agg(pl.col("n").sum())
        self._counts[name] = counted

    def profile(self) -> Profile:
        """What was seen, once the frames have passed."""
        counts = self._counts
        return Profile(
            rows=self._rows,
            medians={column: _medians(bins) for (kind, column), bins in counts.items() if kind == "watched"},
            categories={
                column: dict(sorted(values.select("value", "n").iter_rows()))
                for (kind, column), values in counts.items()
                if kind == "category" and values.height <= PROFILE_VALUES
            },
            hours=next((_hours(found) for (kind, _), found in counts.items() if kind == "hour"), []),
        )


def _queries(contract: Contract, zone: str) -> dict[tuple[str, str], tuple[list[str], Any]]:
    """What to count in each frame: (kind, column) -> columns needed, and the counts of one frame."""
    queries: dict[tuple[str, str], tuple[list[str], Any]] = {}
    for watched in contract.watched:
        queries["watched", watched.column] = ([watched.column, *watched.by], lambda f, w=watched: _bins(f, w))
    for column in contract.categories:
        value = pl.col(column).cast(pl.String).alias("value")
        queries["category", column] = ([column], lambda f, v=value: _count(f.lazy().select(v).drop_nulls()))
    if has_hours(contract):
        name = str(contract.event_time)
        hour = pl.col(name).dt.convert_time_zone(zone).dt.hour().alias("hour")
        queries["hour", name] = ([name], lambda f: _count(f.lazy().select(hour).drop_nulls()))
    return queries


def _count(rows: pl.LazyFrame) -> pl.DataFrame:
    counted = rows.group_by(pl.all()).agg(pl.len().cast(pl.Int64).alias("n"))
    return _collected(counted)  # of one batch


def _bins(frame: pl.DataFrame, watched: Watched) -> pl.DataFrame:
    group = pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in watched.by], separator=" ")
    size = pl.col(watched.column).cast(pl.Float64, strict=False).abs().log10()
    found = frame.lazy().select(group=group if watched.by else pl.lit(""), bin=(size / BIN).floor())
    # Zero has no magnitude.
    return _count(found.filter(pl.col("bin").is_finite()).cast({"bin": pl.Int32}))


def _medians(bins: pl.DataFrame) -> dict[str, float]:
    counted = bins.lazy()
    if bins.height > PROFILE_GROUPS:  # else there are not so many groups
        totals = counted.group_by("group").agg(total=pl.col("n").sum())
        largest = totals.sort(["total", "group"], descending=[True, False]).head(PROFILE_GROUPS)
        counted = counted.join(largest, on="group", how="semi").collect(engine="in-memory").lazy()
    reached = pl.col("n").cum_sum().over("group") * 2 >= pl.col("n").sum().over("group")
    middle = counted.sort("group", "bin").filter(reached).unique("group", keep="first", maintain_order=True)
    found = _collected(middle.select("group", "bin"))
    return {group: float(f"{10 ** ((at + 0.5) * BIN):.4g}") for group, at in found.iter_rows()}


def _collected(query: pl.LazyFrame) -> pl.DataFrame:
    # To optimise a query takes longer than a small frame takes to pass, and these have nothing to optimise.
    return query.collect(engine="in-memory", optimizations=pl.QueryOptFlags.none())


def _hours(found: pl.DataFrame) -> list[int]:
    counts = dict(found.select("hour", "n").iter_rows())
    return [int(counts.get(hour, 0)) for hour in range(HOURS)]
