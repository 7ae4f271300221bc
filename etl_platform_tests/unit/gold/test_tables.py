"""Gold aggregates: exact sums, documented ratios, exact schemas, no dependence on the order of rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_platform.catalog.registry import built_in_contracts
from etl_platform.contracts import BUILT_IN, Contract
from etl_platform.contracts.ddl import create_statements
from etl_platform.contracts.identifiers import Dialect
from etl_platform.gold.graph import gold_graph
from etl_platform.gold.tables.daily_bars import daily_bars
from etl_platform.gold.tables.daily_sales import daily_sales
from etl_platform.gold.tables.market_overview import market_overview
from etl_platform.gold.tables.transaction_summary import transaction_summary
from etl_platform.transforms.validate import validate

GOLD, GOLD_CONTRACTS = gold_graph().tables, gold_graph().contracts
DATE = dt.date(2025, 1, 15)
PRICE_COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
SILVER_PRICES, SILVER_TRANSACTIONS = BUILT_IN["prices"].silver, BUILT_IN["transactions"].silver
TRANSFORMS: dict[str, tuple[Callable[[pl.LazyFrame], pl.LazyFrame], pl.DataFrame]] = {
    "daily_bars": (daily_bars, SILVER_PRICES.empty()),
    "transaction_summary": (transaction_summary, SILVER_TRANSACTIONS.empty()),
    "market_overview": (market_overview, GOLD["daily_bars"].empty()),
    "daily_sales": (daily_sales, built_in_contracts()["orders"].silver.empty()),
}


def at(hour: int, minute: int = 0) -> dt.datetime:
    return dt.datetime.combine(DATE, dt.time(hour, minute), dt.UTC)


def prices(rows: Sequence[tuple[Any, ...]], institution: str = "institution_a") -> pl.DataFrame:
    """Silver price rows with only the columns that gold may read."""
    schema = {name: SILVER_PRICES.polars_schema[name] for name in PRICE_COLUMNS}
    decimals = [tuple(Decimal(v) if i in {2, 3, 4, 5} else v for i, v in enumerate(row)) for row in rows]
    frame = pl.DataFrame(decimals, schema=schema, orient="row")
    return frame.with_columns(business_date=pl.lit(DATE), institution=pl.lit(institution))


def transactions(rows: Sequence[tuple[str, str, str, str]]) -> pl.DataFrame:
    schema = SILVER_TRANSACTIONS.polars_schema
    schema = pl.Schema({c: schema[c] for c in ("account_id", "currency", "type", "amount")})
    typed = [(account, currency, kind, Decimal(amount)) for account, currency, kind, amount in rows]
    return pl.DataFrame(typed, schema=schema, orient="row").with_columns(
        business_date=pl.lit(DATE), institution=pl.lit("institution_a")
    )


def orders(rows: Sequence[tuple[str, int, str]]) -> pl.DataFrame:
    """Silver orders (product, quantity, unit price) with only the columns that gold may read."""
    schema = built_in_contracts()["orders"].silver.polars_schema
    typed = [(product, n, Decimal(price), n * Decimal(price)) for product, n, price in rows]
    names = ("product_id", "quantity", "unit_price", "amount")
    return pl.DataFrame(typed, schema={c: schema[c] for c in names}, orient="row").with_columns(
        business_date=pl.lit(DATE), institution=pl.lit("institution_a")
    )


def broken_rules(frame: pl.DataFrame, contract: Contract) -> set[str]:
    return set(validate(frame.select(c.name for c in contract.columns), contract)["rule"])


@pytest.mark.parametrize("name", GOLD)
def test_nothing_in_gives_nothing_out_with_the_tables_exact_schema(name: str) -> None:
    transform, empty = TRANSFORMS[name]
    result = transform(empty.lazy()).collect()
    assert result.height == 0
    assert result.schema == GOLD[name].polars_schema


@pytest.mark.parametrize("name", GOLD)
@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "snowflake"])
def test_every_gold_table_has_ddl_for_every_warehouse(name: str, dialect: Dialect) -> None:
    assert create_statements(GOLD[name], "somewhere", dialect)


def test_only_the_overview_is_shared_by_institutions() -> None:
    assert [name for name, table in GOLD.items() if table.shared] == ["market_overview"]
    assert GOLD["market_overview"].partition_columns == ("business_date",)
    assert "institution" not in GOLD["market_overview"].polars_schema


def test_a_daily_bar_opens_with_the_earliest_bar_and_closes_with_the_latest() -> None:
    rows = [
        ("AAPL", at(15), "11", "12.5", "10.5", "12", 30),
        ("AAPL", at(9), "10", "11", "9", "10.5", 10),
        ("AAPL", at(20), "12", "12", "8", "8.80000001", 0),
    ]
    result = daily_bars(prices(rows).lazy()).collect()
    row = result.row(0, named=True)
    assert (row["open"], row["close"]) == (Decimal("10"), Decimal("8.80000001"))
    assert (row["high"], row["low"]) == (Decimal("12.5"), Decimal("8"))
    assert (row["volume"], row["bars"]) == (40, 3)
    assert row["day_return"] == pytest.approx(8.80000001 / 10 - 1, rel=1e-15)
    # (30.5 x 10 + 35 x 30) / (3 x 40)
    assert row["vwap"] == pytest.approx(1355 / 120, rel=1e-15)
    assert not broken_rules(result, GOLD_CONTRACTS["daily_bars"])


def test_no_volume_means_no_vwap() -> None:
    result = daily_bars(prices([("AAPL", at(9), "10", "11", "9", "10.5", 0)]).lazy()).collect()
    assert result["vwap"].to_list() == [None]
    assert not broken_rules(result, GOLD_CONTRACTS["daily_bars"])


def test_volumes_beyond_64_bits_add_up_exactly() -> None:
    largest = 2**63 - 1
    rows = [("AAPL", at(9 + i), "10", "10", "10", "10", largest) for i in range(3)]
    bars = daily_bars(prices(rows).lazy()).collect()
    assert int(bars["volume"][0]) == 3 * largest
    assert bars["vwap"][0] == pytest.approx(10)
    overview = market_overview(pl.concat([bars, bars.with_columns(institution=pl.lit("institution_b"))]).lazy())
    assert int(overview.collect()["volume"][0]) == 6 * largest


PRICE = st.decimals(min_value="0.01", max_value="1000000", places=8)
BAR = st.tuples(st.sampled_from(["A", "BB", "CCC"]), st.lists(PRICE, min_size=4, max_size=4), st.integers(0, 10**12))


@settings(max_examples=40, deadline=None)
@given(st.lists(BAR, min_size=1, max_size=40), st.randoms())
def test_daily_bars_keep_their_rules_and_do_not_depend_on_row_order(bars: list[Any], random: Any) -> None:
    rows = []
    for i, (symbol, values, volume) in enumerate(bars):
        rows.append((symbol, at(9, i), values[0], max(values), min(values), values[1], volume))
    shuffled = random.sample(rows, len(rows))
    result = daily_bars(prices(rows).lazy()).collect()
    assert result.equals(daily_bars(prices(shuffled).lazy()).collect(engine="streaming"))
    assert result["symbol"].is_sorted() and result["bars"].sum() == len(rows)
    assert not broken_rules(result, GOLD_CONTRACTS["daily_bars"])


def test_money_adds_up_to_the_last_digit() -> None:
    rows = [
        ("X1", "CHF", "adjustment", "0.1"),
        ("X1", "CHF", "adjustment", "0.2"),
        ("X1", "CHF", "adjustment", "-0.3001"),
        ("X1", "EUR", "deposit", "99999999999999.9999"),
        ("X1", "EUR", "deposit", "99999999999999.9999"),
    ]
    result = transaction_summary(transactions(rows).lazy()).collect()
    francs, euros = result.rows(named=True)
    assert francs["amount_sum"] == Decimal("-0.0001")
    assert (francs["debit_total"], francs["credit_total"]) == (Decimal("-0.3001"), Decimal("0.3"))
    assert (francs["amount_min"], francs["amount_max"]) == (Decimal("-0.3001"), Decimal("0.2"))
    assert (euros["transactions"], euros["amount_sum"]) == (2, Decimal("199999999999999.9998"))
    assert (euros["debit_total"], euros["credit_total"]) == (0, Decimal("199999999999999.9998"))
    assert not broken_rules(result, GOLD_CONTRACTS["transaction_summary"])


def test_accounts_currencies_and_types_are_kept_apart_and_sorted() -> None:
    kinds = [("X2", "CHF", "fee"), ("X1", "USD", "fee"), ("X1", "CHF", "fee"), ("X1", "CHF", "card")]
    rows = [(*kind, "-1") for kind in kinds]
    result = transaction_summary(transactions(rows).lazy()).collect()
    assert result.select("account_id", "currency", "type").rows() == [
        ("X1", "CHF", "card"), ("X1", "CHF", "fee"), ("X1", "USD", "fee"), ("X2", "CHF", "fee"),
    ]  # fmt: skip


def test_the_overview_shows_where_institutions_disagree() -> None:
    rows = [("AAPL", at(9), "10", "12", "9", "11", 10), ("MSFT", at(9), "1", "1", "1", "1", 5)]
    ours = daily_bars(prices(rows).lazy())
    theirs = daily_bars(prices([("AAPL", at(9), "10", "14", "8", "11.00000002", 30)], "institution_b").lazy())
    result = market_overview(pl.concat([theirs, ours])).collect()
    assert result.schema == GOLD["market_overview"].polars_schema
    apple, microsoft = result.rows(named=True)
    assert (apple["institutions"], apple["bars"], apple["volume"]) == (2, 2, 40)
    assert (apple["lowest_low"], apple["highest_high"]) == (8, 14)
    assert (apple["lowest_close"], apple["highest_close"]) == (11, Decimal("11.00000002"))
    assert apple["close_spread"] == Decimal("0.00000002")
    assert apple["vwap"] == pytest.approx((32 / 3 * 10 + 33.00000002 / 3 * 30) / 40, rel=1e-14)
    assert (microsoft["institutions"], microsoft["close_spread"]) == (1, 0)
    assert not broken_rules(result, GOLD_CONTRACTS["market_overview"])


def test_an_institution_without_volume_does_not_hide_the_vwap_of_the_others() -> None:
    silent = daily_bars(prices([("AAPL", at(9), "10", "12", "9", "11", 0)]).lazy())
    trading = daily_bars(prices([("AAPL", at(9), "10", "10", "10", "10", 7)], "institution_b").lazy())
    assert market_overview(pl.concat([silent, trading])).collect()["vwap"].to_list() == [10.0]
    assert market_overview(silent).collect()["vwap"].to_list() == [None]


BENT = {
    "daily_bars": [
        ({"high": Decimal("1")}, "high_is_highest"), ({"low": Decimal("99")}, "low_is_lowest"),
        ({"vwap": 99.0}, "vwap_is_in_range"), ({"vwap": float("nan")}, "vwap_is_in_range"),
        ({"bars": 0}, "bars_are_counted"),
    ],
    "market_overview": [
        ({"lowest_close": Decimal("1")}, "closes_are_in_range"),
        ({"close_spread": Decimal("-1")}, "spread_is_difference"),
        ({"vwap": 99.0}, "vwap_is_in_range"), ({"institutions": 3}, "bars_are_counted"),
    ],
    "transaction_summary": [
        ({"amount_sum": Decimal("5")}, "totals_add_up"), ({"debit_total": Decimal("5")}, "totals_have_their_sign"),
        ({"transactions": 0}, "transactions_are_counted"),
    ],
    "daily_sales": [
        ({"mean_price": 3.0}, "mean_is_in_range"), ({"mean_price": float("nan")}, "mean_is_in_range"),
        ({"revenue": Decimal("8")}, "revenue_is_in_range"), ({"orders": 0}, "orders_are_counted"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "change", "rule"), [(n, c, r) for n, cases in BENT.items() for c, r in cases])
def test_each_gold_rule_sees_the_fault_it_is_named_for(name: str, change: dict[str, Any], rule: str) -> None:
    good = {
        "daily_bars": daily_bars(prices([("AAPL", at(9), "10", "12", "9", "11", 10)]).lazy()),
        "transaction_summary": transaction_summary(transactions([("X1", "CHF", "fee", "-1")]).lazy()),
    }
    good["daily_sales"] = daily_sales(orders([("P1", 2, "1.25"), ("P1", 1, "2.5")]).lazy())
    good["market_overview"] = market_overview(good["daily_bars"])
    schema = GOLD[name].polars_schema
    bent = good[name].with_columns(pl.lit(value).cast(schema[column]).alias(column) for column, value in change.items())
    assert rule in broken_rules(bent.collect(), GOLD_CONTRACTS[name])


def test_daily_sales_add_up_exactly_per_product() -> None:
    rows = [("P1", 3, "0.1"), ("P2", 1, "7"), ("P1", 1, "0.2"), ("P1", 10, "999999.9999")]
    result = daily_sales(orders(rows).lazy()).collect()
    assert result["product_id"].to_list() == ["P1", "P2"]
    row = result.row(0, named=True)
    assert (row["orders"], row["quantity"], row["revenue"]) == (3, 14, Decimal("10000000.4990"))
    assert (row["lowest_price"], row["highest_price"]) == (Decimal("0.1"), Decimal("999999.9999"))
    assert row["mean_price"] == pytest.approx((0.1 + 0.2 + 999999.9999) / 3, rel=1e-15)
    assert not broken_rules(result, GOLD_CONTRACTS["daily_sales"])


def test_every_gold_rule_has_a_case_that_breaks_it() -> None:
    for name, contract in GOLD_CONTRACTS.items():
        assert {r.name for r in contract.row_rules} == {rule for _, rule in BENT[name]}
