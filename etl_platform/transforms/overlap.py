"""A key lives once: of the dates that deliver it, the one keeps it to which its event time belongs.

Rolling exports, a bar at midnight and the tolerance around a business date let two deliveries hold the same row. Of all
dates that hold a key the nearest to its event time (in the institution's zone) keeps it; of two that are equally near,
which is so where the sender moved the event time itself, the later one: it is what the sender said last. The rows of
the other dates are duplicates there, held by that date.

What a date *holds* does not depend on other dates: it is what its own files leave after deduplication. So what each
keeps does not depend on the order of deliveries, and is settled when each has seen the others once. A date that is held
back by its checks holds nothing for others: what was left to it before stays so, and nothing else changes hands.

Not here: where other dates' rows come from, and who asks whom to look again (`defs/overlap.py`).
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from etl_platform.contracts.contract import Contract
from etl_platform.contracts.held import HELD_BY, held_table, overlap_columns
from etl_platform.transforms.frame_spool import Engine

_ID = ("_delivery", "_source_row")
_DATE, _RANK, _FOLDED = "_event_date", "_rank", "_folded_key"
_LONGEST_DAY_HOURS = 25
_STAYS = 2**60


@dataclass(frozen=True)
class Holding:
    """What one date holds: frames of `overlap_columns`, and `held_by` where another date keeps the row.

    frames: a fresh stream of them at each call. stays: they are rows that were left to the date, which is held back
    now: they stay left to it, whatever its own event times are by now.
    """

    business_date: dt.date
    frames: Callable[[], Iterator[pl.DataFrame]]
    stays: bool = False


Others = Callable[[Collection[dt.date]], Sequence[Holding]]
"""What other dates hold, given the dates to which rows of this one belong; only those that may hold the same."""


def dates_in_reach(contract: Contract, business_date: dt.date) -> list[dt.date]:
    """The other dates whose deliveries may hold an event that `business_date` may hold (`timing.within_business_date`).

    By the instants at which they begin in the institution's zone: where clocks are set forward between two dates, or a
    whole day is left out, they are closer than their numbers say.
    """
    zone = zoneinfo.ZoneInfo(contract.parameters["time_zone"])
    # One more than the longest day: a midnight that does not exist begins an hour later.
    width = dt.timedelta(hours=_LONGEST_DAY_HOURS + 1 + 2 * (contract.tolerance_hours or 0))

    def begins(date: dt.date) -> dt.datetime:
        return dt.datetime.combine(date, dt.time(), zone).astimezone(dt.UTC)

    own, furthest = begins(business_date), width.days + 2
    around = (business_date + dt.timedelta(days=n) for n in range(-furthest, furthest + 1) if n)
    return [date for date in around if abs(begins(date) - own) <= width]


def event_dates(contract: Contract) -> pl.Expr:
    """The business date to which each row's event time belongs."""
    zone = contract.parameters["time_zone"]
    return pl.col(contract.event_time or "").dt.convert_time_zone(zone).dt.date()


def may_overlap(contract: Contract, business_date: dt.date) -> pl.Expr:
    """Which rows another date may keep. Where the event time is part of the key, those of the date itself cannot be."""
    if contract.event_time in contract.key:
        return event_dates(contract) != business_date
    return pl.lit(True)


def find_held(
    kept: pl.LazyFrame, contract: Contract, business_date: dt.date, others: Others, engine: Engine = "streaming"
) -> tuple[pl.DataFrame, int]:
    """The rows of `kept` (with `_delivery` and the columns of silver) that another date keeps, with `held_by` and
    `is_same` (false: that date has other values); and how many rows another date may hold at all.

    Only 8 bytes a row are held to find them.
    """
    exposed = kept.filter(may_overlap(contract, business_date))
    folded = exposed.select(_folded(contract), event_dates(contract).alias(_DATE)).collect(engine=engine)
    wanted = [*_ID, *held_table(contract).polars_schema.names()]
    nothing = pl.DataFrame(schema={**{n: t for n, t in kept.collect_schema().items() if n in wanted}, **_FOUND})
    if folded.is_empty():
        return nothing, 0
    theirs = _matching(others(folded.get_column(_DATE).unique().to_list()), folded, contract)
    if theirs.is_empty():
        return nothing, folded.height
    same_key = theirs.select(_folded(contract)).unique()
    mine = exposed.with_columns(_folded(contract)).join(same_key.lazy(), on=_FOLDED, how="semi").drop(_FOLDED)
    rows = mine.select(n for n in nothing.columns if n not in _FOUND).collect(engine=engine)
    best = theirs.sort(_RANK).group_by(contract.key, maintain_order=False).last()
    best = best.select(*contract.key, pl.col("_holder").alias(HELD_BY), _RANK, pl.col("_row_hash").alias("_its_hash"))
    judged = rows.join(best, on=list(contract.key), how="inner", maintain_order="left")
    held = judged.filter(pl.col(_RANK) > _rank(contract, pl.lit(business_date)))
    return held.with_columns(is_same=pl.col("_row_hash") == pl.col("_its_hash")).select(nothing.columns), folded.height


_FOUND = {HELD_BY: pl.Date(), "is_same": pl.Boolean()}


def find_unsettled(one: Holding, others: Sequence[Holding], contract: Contract) -> frozenset[dt.date]:
    """The dates, of `one` and `others`, that must look again: both of two keep a key, or one leaves it to the other,
    which has it no longer or leaves it as well. Each of the others is compared with `one`."""
    own = _fold(one, contract)
    found: set[dt.date] = set()
    for other in others:
        theirs = _fold(other, contract)
        is_shared = not own.join(theirs, on=_FOLDED, how="semi").is_empty()
        if is_shared or own.get_column(HELD_BY).any() or theirs.get_column(HELD_BY).any():
            mine, its = _rows_between(one, theirs, contract), _rows_between(other, own, contract)
            found |= {one.business_date} if _is_unsettled(mine, its, other.business_date, contract) else set()
            found |= {other.business_date} if _is_unsettled(its, mine, one.business_date, contract) else set()
    return frozenset(found)


def _is_unsettled(mine: pl.DataFrame, theirs: pl.DataFrame, their_date: dt.date, contract: Contract) -> bool:
    """Whether a date keeps a key that the other outranks, or leaves one to it that it outranks or lacks."""
    its_rank = theirs.select(*contract.key, pl.col(_RANK).alias("_its_rank"))
    wins = pl.col(_RANK) > pl.col("_its_rank")  # null where the other date has no such key
    keeps_a_loss = pl.col(HELD_BY).is_null() & ~wins
    leaves_in_vain = (pl.col(HELD_BY) == their_date) & wins.fill_null(True)
    judged = mine.join(its_rank, on=list(contract.key), how="left")
    return not judged.filter((keeps_a_loss | leaves_in_vain).fill_null(False)).is_empty()


def _rows_between(holding: Holding, theirs: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The rows that matter between two dates: of keys that both hold, and those that one leaves to another."""
    found = [_no_rows(contract)]
    for frame in holding.frames():
        rows = frame.with_columns(_folded(contract), _rank(contract, pl.lit(holding.business_date)).alias(_RANK))
        is_left = pl.col(HELD_BY).is_not_null()
        found.append(rows.join(theirs, on=_FOLDED, how="semi"))
        found.append(rows.filter(is_left).join(theirs, on=_FOLDED, how="anti"))
    return pl.concat(found)


def _fold(holding: Holding, contract: Contract) -> pl.DataFrame:
    """Nine bytes a row: the folded key, and whether another date keeps it."""
    found = [pl.DataFrame(schema={_FOLDED: pl.UInt64(), HELD_BY: pl.Boolean()})]
    found += [frame.select(_folded(contract), pl.col(HELD_BY).is_not_null()) for frame in holding.frames()]
    return pl.concat(found)


def _no_rows(contract: Contract) -> pl.DataFrame:
    types = contract.silver.polars_schema
    columns = {name: types[name] for name in overlap_columns(contract)}
    return pl.DataFrame(schema={**columns, HELD_BY: pl.Date(), _FOLDED: pl.UInt64(), _RANK: pl.Int64()})


def _matching(holdings: Sequence[Holding], folded: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Key, `_row_hash`, `_holder`, `_rank` of what others hold under the same keys."""
    keys = folded.select(_FOLDED).unique()
    types = contract.silver.polars_schema
    columns = {name: types[name] for name in (*contract.key, "_row_hash")}
    found = [pl.DataFrame(schema={**columns, "_holder": pl.Date(), _RANK: pl.Int64()})]
    for holding in holdings:
        date = pl.lit(holding.business_date)
        for frame in holding.frames():
            rows = frame.with_columns(_folded(contract)).join(keys, on=_FOLDED, how="semi")
            rank = pl.lit(_STAYS) if holding.stays else _rank(contract, date)
            found.append(rows.select(*columns, date.alias("_holder"), rank.alias(_RANK)))
    return pl.concat(found)


def _folded(contract: Contract) -> pl.Expr:
    # Polars' own hash is not stable between versions, but it lives only inside one call. What it finds is compared.
    return pl.struct(contract.key).hash().alias(_FOLDED)


def _rank(contract: Contract, holder: pl.Expr) -> pl.Expr:
    """Who keeps a row: the nearest to its event time, then the later date. No two dates are equal."""
    days = holder.cast(pl.Int32()).cast(pl.Int64())
    distance = (event_dates(contract).cast(pl.Int32()).cast(pl.Int64()) - days).abs()
    return days - distance * 2**24
