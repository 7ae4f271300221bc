"""Sample values are plausible: consistent bars, heavy edges of the day, senders that nearly agree, exact money."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts.datasets.transactions import CREDIT_TYPES, DEBIT_TYPES
from etl_platform.institutions.loader import BUILT_IN as INSTITUTION_FILES
from etl_platform.institutions.loader import load_institutions
from etl_platform.sample.delivery_style import Sender
from etl_platform.sample.market import COMMON, price_bars
from etl_platform.sample.transactions import account_transactions

DATE = dt.date(2025, 1, 15)
BUILT_IN = built_in_contracts()
INSTITUTIONS = load_institutions(INSTITUTION_FILES, BUILT_IN)


def sender(code: str, dataset: str) -> Sender:
    return Sender.of(INSTITUTIONS[code], BUILT_IN[dataset])


@pytest.mark.parametrize("rows", [1, 9, 1_000, 300_000])
def test_any_number_of_bars_has_unique_keys_and_consistent_prices(rows: int) -> None:
    bars = price_bars(sender("institution_a", "prices"), DATE, 0, rows, seed=1)
    assert bars.schema == {c.name: c.dtype for c in BUILT_IN["prices"].columns}
    assert bars.height == rows == bars.select("symbol", "timestamp").n_unique()
    ends = ("open", "close")
    is_top, is_bottom = [pl.col("high") > pl.col(c) for c in ends], [pl.col("low") < pl.col(c) for c in ends]
    assert bars.select(pl.all_horizontal(*is_top, *is_bottom, pl.col("low") > 0, pl.col("volume") > 0).all()).item()
    assert bars.equals(bars.sort("timestamp", maintain_order=True))


def test_bars_follow_each_other_and_trade_most_at_the_edges_of_the_day() -> None:
    bars = price_bars(sender("institution_b", "prices"), DATE, 3, 3_900, seed=1)
    apple = bars.filter(pl.col("symbol") == "AAPL")
    steps = apple.select((pl.col("open").cast(pl.Float64) / pl.col("close").shift().cast(pl.Float64) - 1).abs().max())
    assert steps.item() < 0.02
    by_hour = bars.group_by(pl.col("timestamp").dt.truncate("65m")).agg(pl.col("volume").mean()).sort("timestamp")
    volumes = by_hour["volume"].to_list()
    assert min(volumes[0], volumes[-1]) > 1.5 * volumes[len(volumes) // 2]


def test_institutions_nearly_agree_on_the_same_symbol_and_have_some_of_their_own() -> None:
    last = pl.col("close").last().cast(pl.Float64)
    ours, theirs = (
        price_bars(sender(code, "prices"), DATE, 2, 2_000, seed=4).group_by("symbol").agg(last)
        for code in ("institution_a", "institution_b")
    )
    assert set(ours["symbol"]) == set(COMMON)
    assert set(theirs["symbol"]) - set(COMMON) == {"BRK.B", "BTC-USD"}
    both = ours.join(theirs, on="symbol").select((pl.col("close") / pl.col("close_right") - 1).abs())
    assert both.height == len(COMMON)
    assert 0 < both.max().item() < 0.02


def test_amounts_have_the_sign_of_their_type_and_accounts_one_currency() -> None:
    rows = account_transactions(sender("institution_c", "transactions"), DATE, 0, 20_000, seed=1)
    assert rows.schema == {c.name: c.dtype for c in BUILT_IN["transactions"].columns}
    signs = rows.group_by("type").agg(low=pl.col("amount").min() > 0, high=pl.col("amount").max() < 0)
    for kind, is_positive, is_negative in signs.iter_rows():
        assert (is_positive, is_negative) == (kind in CREDIT_TYPES, kind in DEBIT_TYPES)
    assert rows.group_by("account_id").agg(pl.col("currency").n_unique())["currency"].max() == 1
    yen = rows.filter(pl.col("currency") == "JPY").select((pl.col("amount").cast(pl.Float64) % 1).abs().max())
    assert yen.item() == 0
